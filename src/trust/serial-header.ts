/** How client and coordinator tell each other which bundle they know (docs/trust.md, section 5). */

/** With a request: the serial of the bundle in use; with its answer: that of a newer one, to be had at `/v1/trust`. */
export const BUNDLE_SERIAL_HEADER = 'holdfast-bundle-serial';

/** The serial in the header, or undefined for anything else. */
export function readBundleSerial(header: string | null | undefined): number | undefined {
  if (typeof header !== 'string' || !/^[1-9]\d{0,15}$/.test(header)) return undefined;
  const serial = Number(header);
  return Number.isSafeInteger(serial) ? serial : undefined;
}
