/** When this version was made: no clock that is right tells an earlier time. Set anew with each release. */

/** Milliseconds since 1970. */
export const BUILT_AT = Date.UTC(2026, 10, 20);
