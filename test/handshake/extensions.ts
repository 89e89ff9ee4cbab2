/** An extension for tests of negotiation: it takes what it is told to, and counts what is still open. */

import type {
  Extension,
  ExtensionFactory,
  ExtensionParameters,
  MessageDecoder,
  MessageEncoder,
} from '../../src/protocol/extension.js';

export interface FakeExtension extends ExtensionFactory {
  open: number;
}

export function fakeExtension(
  name: string,
  rsv: number,
  accept: (offer: ExtensionParameters) => ExtensionParameters | null = (offer) => offer,
): FakeExtension {
  const make = (): Extension => {
    factory.open++;
    return {
      name,
      rsv,
      decoder: {} as MessageDecoder,
      encoder: {} as MessageEncoder,
      close: () => {
        factory.open--;
      },
    };
  };
  const factory: FakeExtension = {
    name,
    open: 0,
    offers: () => [[['level', '9']], []],
    accept: (offer) => {
      const parameters = accept(offer);
      return parameters && { parameters, extension: make() };
    },
    confirm: (response) => {
      if (accept(response) === null) throw new RangeError('Unexpected parameters');
      return make();
    },
  };
  return factory;
}
