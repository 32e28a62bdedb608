/** What the documents name is there: files, headings, scripts, settings, metrics, flags. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { test } from "node:test";
import { configJsonSchema, type JsonSchema } from "../../src/config-schema.ts";

const ROOT = join(import.meta.dirname, "../..");
const FOLDERS = "src|test|docs|bench|scripts|examples|k3s|firmware-sim|bin";
/** Made by a command, and not in the repository or not yet; and topics of the bench. */
const IS_NONE = /^(?:bench\/in\/|(?:bench\/results|docs\/performance(?:-patterns)?)(?:\/|\.md$|$))/;
/** Names of files, which some settings would look like. */
const FILE = /\.(?:ts|mjs|c|py|md|yaml|mdb)$/;

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** All files below a folder, as paths from the root. */
const filesBelow = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(ROOT, join(parentPath, name)));

const documents = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"].concat(
  filesBelow("docs").filter((path) => path.endsWith(".md")),
);
/** What the changelog and the decisions say was so when they were written. */
const ofToday = documents.filter((path) => !/^CHANGELOG|^docs\/decisions/.test(path));
const sources = FOLDERS.split("|").flatMap(filesBelow);
const scripts = JSON.parse(read("package.json")).scripts as Readonly<Record<string, string>>;

/** Text in backticks, in lines and blocks. */
const codeOf = (text: string): string[] => [
  ...[...text.matchAll(/```[^\n]*\n(.*?)```/gs)].map(([, code = ""]) => code),
  ...[...text.replace(/```.*?```/gs, "").matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code),
];

/** The anchors that headings of a page get. */
function anchorsOf(text: string): Set<string> {
  const headings = text.replace(/```.*?```/gs, "").matchAll(/^#+ (.+)$/gm);
  const slugs = [...headings].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );
  return new Set(slugs);
}

for (const path of documents) {
  const text = read(path);

  test(`Every relative link of ${path} leads to a file and a heading that are there.`, () => {
    const links = text.replace(/```.*?```/gs, "").matchAll(/\]\(([^)\s]+)\)/g);
    for (const [, link = ""] of links) {
      if (/^[a-z]+:/.test(link)) continue;
      const [file = "", anchor] = link.split("#");
      const target = file === "" ? path : join(dirname(path), file);
      assert.ok(existsSync(join(ROOT, target)), link);
      if (anchor !== undefined) assert.ok(anchorsOf(read(target)).has(anchor), link);
    }
  });
}

for (const path of ofToday) {
  const code = codeOf(read(path));

  test(`Every file that ${path} names is there.`, () => {
    const isPath = new RegExp(`^(?:${FOLDERS})/[\\w./-]+$`);
    const names = new Set(sources.map((source) => basename(source)));
    for (const words of code) {
      for (const word of words.split(/[\s,;:()"'[\]]+/)) {
        const name = word.replace(/^\.\//, "").replace(/\.$/, "");
        if (isPath.test(name) && !IS_NONE.test(name)) {
          assert.ok(existsSync(join(ROOT, name)), name);
        }
      }
      // By its name alone, or below a folder that the text is about.
      const isOwn = /^[\w./-]+\.(?:ts|mjs|c|py)$/.test(words);
      if (isOwn) assert.ok(names.has(basename(words)), words);
    }
  });

  test(`Every npm script that ${path} names is there.`, () => {
    for (const words of code) {
      for (const [, script = ""] of words.matchAll(/\bnpm run ([\w:-]+)/g)) {
        assert.ok(script in scripts, script);
      }
    }
  });
}

test("Every npm script is in CONTRIBUTING.md or a page of docs/.", () => {
  const text = ofToday.map(read).join("\n");
  for (const script of Object.keys(scripts)) {
    if (/^(?:pre|post)/.test(script)) continue;
    const call = script === "test" || script === "start" ? `npm ${script}` : `npm run ${script}`;
    assert.match(text, new RegExp(`${call}(?![\\w:])`), call);
  }
});

test("README.md has a link to every page of docs/.", () => {
  const readme = read("README.md");
  for (const page of readdirSync(join(ROOT, "docs"))) {
    if (page.endsWith(".md")) assert.ok(readme.includes(`(docs/${page})`), page);
  }
});

/** `section.setting` of everything that can be configured. */
function settingsOf(schema: JsonSchema, prefix = ""): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, below]) => [
    `${prefix}${name}`,
    ...settingsOf(below, `${prefix}${name}.`),
  ]);
}

test("Every setting that a page names with its section is there.", () => {
  const schema = configJsonSchema();
  const known = new Set(settingsOf(schema));
  const sections = ["access", "log", "mqtt", "native", "patterns", "store", "time"];
  const isSetting = new RegExp(`^(?:${sections.join("|")})\\.\\w+$`);
  let count = 0;
  for (const path of ofToday) {
    for (const words of codeOf(read(path))) {
      if (!isSetting.test(words) || FILE.test(words)) continue;
      count++;
      assert.ok(known.has(words), `${words} in ${path}`);
    }
  }
  assert.ok(count > 50);
});

test("Every metric that a page or a manifest names is in the sources.", () => {
  const code = filesBelow("src/telemetry").map(read).join("\n");
  const pages = [...ofToday, ...filesBelow("k3s")];
  for (const path of pages) {
    for (const [metric] of read(path).matchAll(/\brillmq_[a-z_]*[a-z]\b(?![*_])/g)) {
      const base = metric.replace(/_(?:bucket|sum|count)$/, "");
      const isThere = code.includes(`"${metric}"`) || code.includes(`"${base}"`);
      assert.ok(isThere, `${metric} in ${path}`);
    }
  }
});

test("Every metric of ours, and every reason to drop a message, is in a page.", () => {
  const text = ofToday.map(read).join("\n");
  const code = filesBelow("src/telemetry").map(read).join("\n");
  const metrics = new Set([...code.matchAll(/"(rillmq_\w+)"/g)].map(([, name = ""]) => name));
  assert.ok(metrics.size > 50);
  // Written out, or its end behind its family's name: `rillmq_stream_messages`, `_bytes`.
  for (const name of metrics) {
    const isThere =
      text.includes(name) || text.includes(`\`${name.replace(/^rillmq_[a-z]+/, "")}\``);
    assert.ok(isThere, name);
  }
  const [, dropped = ""] = /rillmq_messages_dropped_total"(.*?)\n {2}\},/s.exec(code) ?? [];
  const reasons = [...dropped.matchAll(/"dropped\w+", "([\w-]+)"/g)].map(([, reason]) => reason);
  assert.ok(reasons.length > 5);
  for (const reason of reasons)
    assert.ok(read("docs/operations.md").includes(`\`${reason}\``), reason);
});

test("Every flag that a page shows with a command of this repository is in its sources.", () => {
  const code = [...sources, "package.json"]
    .filter((path) => /\.(?:ts|mjs|json)$/.test(path) && !path.startsWith("test/unit"))
    .map(read)
    .join("\n");
  const camel = (flag: string): string => flag.replace(/-(\w)/g, (_, a: string) => a.toUpperCase());
  for (const path of ofToday) {
    for (const line of codeOf(read(path)).flatMap((words) => words.split("\n"))) {
      const [, call = ""] =
        /(?:^|&& )(?:(?:node bin\/)?rillmq(?:\.js)?|npm run [\w:]+ --) ([^#|]*)/.exec(line) ?? [];
      for (const [, flag = ""] of call.matchAll(/(?<=^|\s)--([a-z][\w-]*)/g)) {
        const name = flag.replace(/^no-/, "");
        const isThere = [`--${flag}`, `--${name}`, `"${name}"`, `${camel(name)}:`].some((each) =>
          code.includes(each),
        );
        assert.ok(isThere, `--${flag} in ${path}`);
      }
    }
  }
});
