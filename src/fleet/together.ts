/** Work that goes on side by side: whoever begins it goes on when nothing of it is under way any more. */

/** Waits for all, also where one fails: nobody works in the folder any more when it is removed. */
export async function all<T extends readonly Promise<unknown>[]>(work: T) {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
  return await Promise.all(work);
}
