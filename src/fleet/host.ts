/** Where the processes of a fleet on one machine are. */

export const HOST = '127.0.0.1';
