/** Checks of options, which several layers have some of. */

/** Throws a TypeError for options of `call` that are no object; undefined is none. */
export function checkOptions(call: string, options: unknown): void {
  if (options === undefined || (typeof options === 'object' && options !== null)) return;
  throw new TypeError(`Expected the options of ${call} to be an object: ${String(options)}`);
}

/** Throws a TypeError for options of `call` that are no object, or that name something unknown. */
export function checkNames(call: string, options: object, known: readonly string[]): void {
  checkOptions(call, options);
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) throw new TypeError(`Unknown option: ${name}`);
  }
}

/** The value of a numeric option, or its default when it is undefined. */
export function checkNumber(
  name: string,
  value: number | undefined,
  fallback: number,
  least: number,
  most: number,
): number {
  if (value === undefined) return fallback;
  if (typeof value !== 'number') throw new TypeError(`Option ${name} is not a number: ${String(value)}`);
  if (!(value >= least && value <= most)) {
    throw new RangeError(`Option ${name} is not between ${least} and ${most}: ${value}`);
  }
  if (!Number.isInteger(value) && value !== Number.POSITIVE_INFINITY) {
    throw new RangeError(`Option ${name} is not an integer: ${value}`);
  }
  return value;
}

/** Throws a TypeError unless the option `name` is a boolean or undefined. */
export function checkBoolean(name: string, value: unknown): void {
  if (value === undefined || typeof value === 'boolean') return;
  throw new TypeError(`Option ${name} is not a boolean: ${String(value)}`);
}

/** Throws a TypeError for a value of the option `signal` that is no AbortSignal; undefined is none. */
export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  const given: Partial<AbortSignal> | null = signal;
  if (typeof given?.aborted !== 'boolean' || typeof given.addEventListener !== 'function') {
    throw new TypeError(`Option signal is not an AbortSignal: ${String(signal)}`);
  }
}

/** Throws a TypeError for the option `extensions` unless each one has a name and these methods. */
export function checkExtensions(extensions: unknown, methods: readonly string[]): void {
  if (!Array.isArray(extensions)) throw new TypeError('Option extensions is not an array');
  for (const [index, extension] of extensions.entries()) {
    const missing = methods.find((method) => typeof extension?.[method] !== 'function');
    if (typeof extension?.name !== 'string' || missing !== undefined) {
      throw new TypeError(
        `Option extensions has an element ${index} without a name or one of the methods ${methods.join(', ')}`,
      );
    }
  }
}
