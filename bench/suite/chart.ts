/** Bar charts as SVG: one bar per peer with its range, values written beside them, light and dark alike. */

/** One bar. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  /** As it is written beside the bar. */
  readonly text: string;
  readonly isOwn: boolean;
}

/** Bars that are compared with each other. */
export interface BarGroup {
  readonly title: string;
  readonly bars: readonly Bar[];
}

/** Of every chart, in pixels. */
export const CHART_WIDTH = 720;
const WIDTH = CHART_WIDTH;
const LABEL_WIDTH = 170;
const BAR_WIDTH = 400;
const ROW = 18;
const GROUP_HEAD = 26;
const HEAD = 46;
const OWN = "#0b7285";
const OTHER = "#adb5bd";
const INK = "#495057";

/** A chart; every group has a scale of its own that begins at 0. */
export function barChart(
  title: string,
  subtitle: string,
  groups: readonly BarGroup[],
): { readonly svg: string; readonly height: number } {
  const height =
    HEAD + groups.reduce((sum, { bars }) => sum + GROUP_HEAD + bars.length * ROW, 0) + 12;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(12, 20, title, `font-size="15" font-weight="bold" fill="#212529"`),
    text(12, 38, subtitle, `fill="${INK}"`),
  ];
  let y = HEAD;
  for (const group of groups) {
    parts.push(text(12, y + 18, group.title, `font-weight="bold" fill="${INK}"`));
    y += GROUP_HEAD;
    const full = Math.max(...group.bars.map(({ max }) => max), Number.MIN_VALUE);
    for (const bar of group.bars) {
      parts.push(barOf(bar, y, BAR_WIDTH / full));
      y += ROW;
    }
  }
  return { svg: `${[...parts, "</svg>"].join("\n")}\n`, height };
}

function barOf(
  { label, value, min, max, text: said, isOwn }: Bar,
  y: number,
  scale: number,
): string {
  const middle = y + ROW / 2;
  const at = (amount: number): string => (LABEL_WIDTH + amount * scale).toFixed(1);
  return [
    text(LABEL_WIDTH - 8, middle + 4, label, `text-anchor="end" fill="${INK}"`),
    `<rect x="${LABEL_WIDTH}" y="${y + 3}" width="${(value * scale).toFixed(1)}" height="${ROW - 6}" fill="${isOwn ? OWN : OTHER}"/>`,
    `<line x1="${at(min)}" x2="${at(max)}" y1="${middle}" y2="${middle}" stroke="#212529"/>`,
    text(LABEL_WIDTH + max * scale + 8, middle + 4, said, `fill="${INK}"`),
  ].join("\n");
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes}>${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
