const HASH = "#";
const PLUS = "+";

/**
 * True when every topic name that the topic filter `inner` matches is matched by `outer` as well [MQTT 5.0 section 4.7].
 * Both are valid topic filters without `$share`. Exact: false means that there is a topic that only `inner` matches.
 *
 * Level by level: `#` in `outer` covers the rest, `+` covers anything but `#`, a literal covers itself. Wildcards in front match no
 * topic that begins with `$`. `#` and `/#` have no parent level that is a topic, so that `+/#` in the same place covers them, and
 * only them.
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
    if (wanted === HASH) return hasNoParent(inner) && isPlusHash(outerLevels, i);
    if (given === undefined || (given !== PLUS && given !== wanted)) return false;
  }
  const isSameDepth = outerLevels.length === innerLevels.length;
  // "sport/#" also matches "sport" [MQTT 5.0 section 4.7.1.2].
  return (
    isSameDepth ||
    (outerLevels.length === innerLevels.length + 1 && outerLevels[innerLevels.length] === HASH)
  );
}

/** True when the level before `#` is no topic by itself: there is none, or it is empty [MQTT-4.7.3-1]. */
const hasNoParent = (filter: string): boolean => filter === "#" || filter === "/#";

const isPlusHash = (levels: readonly string[], at: number): boolean =>
  levels.length === at + 2 && levels[at] === PLUS && levels[at + 1] === HASH;
