// @ts-check
/**
 * The interval of a ratio: the Wilcoxon signed-rank interval of its logarithm, and the Hodges-Lehmann estimate.
 *
 * A rank-based interval holds for any distribution that is symmetric around its middle, which the logarithm of the
 * ratio of two interchangeable sides is. No outlier pulls it, and it is exact for as few as six samples, where a
 * bootstrap, which can only repeat the samples it has, is too narrow.
 */

/** The chance that the interval misses the true ratio, at most. */
const MISS = 0.05;

export const median = (/** @type {number[]} */ values) => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = /** @type {number} */ (sorted[middle]);
  return sorted.length % 2 === 1 ? upper : /** @type {number} */ (sorted[middle - 1] + upper) / 2;
};

/**
 * Estimate and 95 % interval of a ratio from independent samples of it; fewer than six give no bound.
 *
 * @param {number[]} ratios
 * @returns {{ ratio: number, low: number, high: number }}
 */
export function ratioInterval(ratios) {
  const logs = ratios.map(Math.log);
  /** The means of all pairs, each sample with itself included. @type {number[]} */
  const means = [];
  for (const [i, a] of logs.entries()) for (const b of logs.slice(i)) means.push((a + b) / 2);
  means.sort((a, b) => a - b);
  const cut = cutOff(logs.length);
  const at = (/** @type {number} */ index) => Math.exp(/** @type {number} */ (means[index]));
  return {
    ratio: Math.exp(median(means)),
    low: cut === 0 ? 0 : at(cut - 1),
    high: cut === 0 ? Number.POSITIVE_INFINITY : at(means.length - cut),
  };
}

/** How many of the means, from each end, the interval may leave out and begin at the last of them. */
function cutOff(/** @type {number} */ samples) {
  // How many of the 2 ** samples sets of ranks have each sum: the signs of `samples` differences are coin tosses
  let sets = [1];
  for (let rank = 1; rank <= samples; rank++) {
    const larger = Array.from({ length: sets.length + rank }, (_, sum) => {
      return (sets[sum] ?? 0) + (sets[sum - rank] ?? 0);
    });
    sets = larger;
  }
  let cut = 0;
  for (let below = 0; cut < sets.length; cut++) {
    below += /** @type {number} */ (sets[cut]);
    if (below / 2 ** samples > MISS / 2) break;
  }
  return cut;
}
