/** The codes of DEFLATE, RFC 1951 §3.2.5 and §3.2.6. */

/** Lengths of matches: symbol 257 + i stands for `lengthBase[i]` and a number of `lengthExtra[i]` bits. */
export const lengthBase: Uint16Array = new Uint16Array(29);
export const lengthExtra: Uint8Array = new Uint8Array(29);
/** Distances of matches: symbol i stands for `distanceBase[i]` and a number of `distanceExtra[i]` bits. */
export const distanceBase: Uint16Array = new Uint16Array(30);
export const distanceExtra: Uint8Array = new Uint8Array(30);

export const SHORTEST_MATCH = 3;
export const LONGEST_MATCH = 258;
/** "The end-of-block marker" (§3.2.5). */
export const END_OF_BLOCK = 256;

for (let i = 0, base = SHORTEST_MATCH; i < 28; i++) {
  lengthExtra[i] = i < 8 ? 0 : (i >> 2) - 1;
  lengthBase[i] = base;
  base += 1 << lengthExtra[i]!;
}
lengthBase[28] = LONGEST_MATCH;
for (let i = 0, base = 1; i < 30; i++) {
  distanceExtra[i] = i < 4 ? 0 : (i >> 1) - 1;
  distanceBase[i] = base;
  base += 1 << distanceExtra[i]!;
}

/** Bits of each literal/length symbol in the fixed code (§3.2.6). */
export function fixedLength(symbol: number): number {
  return symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8;
}

/** Codes "are packed starting with the most-significant bit" (§3.1.1), everything else with the least. */
export function reverse(code: number, bits: number): number {
  let reversed = 0;
  for (let i = 0; i < bits; i++) reversed |= ((code >> i) & 1) << (bits - 1 - i);
  return reversed;
}
