/** Called with the bytes that were read since the last call. */
export type OnProgress = (bytes: number) => void;
