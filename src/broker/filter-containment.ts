const HASH = "#";
const PLUS = "+";

/**
 * True when every topic name that the topic filter `inner` matches is matched by `outer` as well [MQTT 5.0 section 4.7].
 * Both are valid topic filters without `$share`. Exact: false means that there is a topic that only `inner` matches.
 *
 * Level by level: `#` in `outer` covers the rest, `+` covers anything but `#`, a literal covers itself. Wildcards in front match no
 * topic that begins with `$`. At the first level `#` needs no parent level, so that `+/#` covers it, and only there.
 */
export function filterCovers(outer: string, inner: string): boolean {
  const outerLevels = outer.split("/");
  const innerLevels = inner.split("/");
  const first = outerLevels[0];
  if (inner.startsWith("$") && (first === HASH || first === PLUS)) return false;
  for (let i = 0; i < innerLevels.length; i++) {
    const wanted = innerLevels[i];
    const given = outerLevels[i];
    if (given === HASH) return true;
    if (wanted === HASH) return i === 0 && outer === "+/#";
    if (given === undefined || (given !== PLUS && given !== wanted)) return false;
  }
  const isSameDepth = outerLevels.length === innerLevels.length;
  // "sport/#" also matches "sport" [MQTT 5.0 section 4.7.1.2].
  return (
    isSameDepth ||
    (outerLevels.length === innerLevels.length + 1 && outerLevels[innerLevels.length] === HASH)
  );
}
