/** Whom limits count together: one client may have many addresses (RFC 4291 section 2.5.4). */

/** Whoever has one address of IPv6 has 2^64 of them. */
export function networkOf(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return address;
  const [head = ''] = address.split('%');
  const [left = '', right] = head.split('::');
  const groups = left === '' ? [] : left.split(':');
  const missing = right === undefined ? 0 : 8 - groups.length - (right === '' ? 0 : right.split(':').length);
  return [...groups, ...new Array<string>(Math.max(0, missing)).fill('0'), ...(right ? right.split(':') : [])]
    .slice(0, 4)
    .join(':');
}
