/** The part of fs-native-extensions that is used here. */
declare module "fs-native-extensions" {
  /** Locks the whole file for this open file description; false: somebody else has it. Gone with the descriptor. */
  export function tryLock(fd: number): boolean;
}
