/** All targets. */
import type { Target } from './target.js';
import { deflateTarget } from './targets/deflate.js';
import { differentialTarget } from './targets/differential.js';
import { endpointTarget } from './targets/endpoint.js';
import { extensionHeaderTarget } from './targets/extension-header.js';
import { handshakeTarget } from './targets/handshake.js';

export const targets: readonly Target[] = [
  endpointTarget(),
  differentialTarget(),
  deflateTarget(),
  handshakeTarget(),
  extensionHeaderTarget(),
];
