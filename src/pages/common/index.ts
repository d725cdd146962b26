/** What all pages share. */

export * from './dom.ts';
export * from './icons.ts';
export * from './words.ts';
