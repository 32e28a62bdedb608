/** The program of the peer `rillmq-memory`, see there. */
import { run } from "../../src/cli/main.ts";

process.exit(await run(process.argv.slice(2)));
