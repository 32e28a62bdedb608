import type { Statements } from "../statement.ts";

export const STATEMENTS: Statements = {};
