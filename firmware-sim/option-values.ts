import { InvalidArgumentError } from "commander";

/** A whole number from `low` to `high`. */
export const integerFrom =
  (low: number, high: number) =>
  (text: string): number => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= low && value <= high) return value;
    throw new InvalidArgumentError(`a whole number from ${low} to ${high} is needed`);
  };

/** A number above `low`, at most `high`. */
export const numberAbove =
  (low: number, high: number) =>
  (text: string): number => {
    const value = Number(text);
    if (text !== "" && value > low && value <= high) return value;
    throw new InvalidArgumentError(`a number above ${low}, at most ${high}, is needed`);
  };
