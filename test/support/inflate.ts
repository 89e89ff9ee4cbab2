/** A reference inflater, RFC 1951, as simple as can be: it checks every block, code and distance. */

const lengthExtra = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const lengthBase = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
  227, 258,
];
const distanceExtra = [
  0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13,
];
const distanceBase = [
  1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097,
  6145, 8193, 12289, 16385, 24577,
];
const order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

type Code = Map<string, number>;

/** The canonical code of these lengths: bits as a string, to symbol. */
function makeCode(lengths: readonly number[]): Code {
  const code: Code = new Map();
  let next = 0;
  for (let bits = 1; bits <= 15; bits++, next <<= 1) {
    for (const [symbol, length] of lengths.entries()) {
      if (length === bits) code.set((next++).toString(2).padStart(bits, '0'), symbol);
    }
  }
  return code;
}

const fixed = makeCode(Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8)));
const fixedDistances = makeCode(Array.from({ length: 30 }, () => 5));

/** The peer's side of one direction: what carries over is at most 2^bits bytes. */
export class ReferenceInflater {
  #history: number[] = [];
  readonly #window: number;
  readonly #takeover: boolean;

  constructor(bits: number, takeover = true) {
    this.#window = 2 ** bits;
    this.#takeover = takeover;
  }

  /** The data of a payload as RFC 7692 §7.2.2 says: 00 00 FF FF is appended, and all of it has to be used up. */
  message(payload: Uint8Array): Buffer {
    const input = Buffer.concat([payload, Buffer.from([0, 0, 0xff, 0xff])]);
    const begin = this.#history.length;
    const out = this.#history;
    let at = 0;
    const bit = (): number => {
      if (at >= input.length * 8) throw new Error('The payload is cut off');
      const value = (input[at >> 3]! >> (at & 7)) & 1;
      at++;
      return value;
    };
    const number = (bits: number): number => {
      let value = 0;
      for (let i = 0; i < bits; i++) value |= bit() << i;
      return value;
    };
    const symbol = (code: Code): number => {
      for (let bits = ''; bits.length < 15; ) {
        bits += bit();
        const found = code.get(bits);
        if (found !== undefined) return found;
      }
      throw new Error('No such code');
    };
    while (at < input.length * 8) {
      if (bit() === 1) throw new Error('BFINAL is set');
      const type = number(2);
      if (type === 0) {
        at = (at + 7) & ~7;
        const length = number(16);
        if (number(16) !== (length ^ 0xffff)) throw new Error('Wrong length of a stored block');
        for (let i = 0; i < length; i++) out.push(number(8));
        continue;
      }
      let [literals, distances] = [fixed, fixedDistances];
      if (type === 2) {
        const [hlit, hdist, hclen] = [number(5) + 257, number(5) + 1, number(4) + 4];
        const codeLengths = Array.from({ length: 19 }, () => 0);
        for (let i = 0; i < hclen; i++) codeLengths[order[i]!] = number(3);
        const code = makeCode(codeLengths);
        const lengths: number[] = [];
        while (lengths.length < hlit + hdist) {
          const found = symbol(code);
          if (found < 16) lengths.push(found);
          else if (found === 16) lengths.push(...Array(number(2) + 3).fill(lengths.at(-1)));
          else lengths.push(...Array(found === 17 ? number(3) + 3 : number(7) + 11).fill(0));
        }
        literals = makeCode(lengths.slice(0, hlit));
        distances = makeCode(lengths.slice(hlit));
      } else if (type === 3) throw new Error('Wrong type of a block');
      for (let found = symbol(literals); found !== 256; found = symbol(literals)) {
        if (found < 256) {
          out.push(found);
          continue;
        }
        const length = lengthBase[found - 257]! + number(lengthExtra[found - 257]!);
        const distanceSymbol = symbol(distances);
        const distance = distanceBase[distanceSymbol]! + number(distanceExtra[distanceSymbol]!);
        if (distance > this.#window)
          throw new Error(`A distance of ${distance} is over the window of ${this.#window}`);
        if (distance > out.length) throw new Error(`A distance of ${distance} is in front of the data`);
        for (let i = 0; i < length; i++) out.push(out[out.length - distance]!);
      }
    }
    const data = Buffer.from(out.slice(begin));
    this.#history = this.#takeover ? out.slice(-this.#window) : [];
    return data;
  }
}
