/** What connections are made of, besides the library. */
import { signOfLife } from './liveness.js';
import type { End } from './model.js';
import type { LinkPlan } from './program.js';
import { SimulatedSocket } from './socket.js';
import type { Library, Link, World } from './world.js';

/** The socket of an end of the library; notes what reaches it. */
export function makeSocket(world: World, end: End, halfOpen: boolean): SimulatedSocket {
  const socket = new SimulatedSocket(world.clock, end.input, end.output, halfOpen);
  let noted = false;
  socket.observer = (event): void => {
    if (event === 'reset') end.resetOpen ||= world.applications.get(end)?.ws.state === 'open';
    if (event === 'destroyed') end.signOfLife = signOfLife(world, end);
    else if (event === 'FIN' || event === 'reset') end.lifeCycle.on(event);
    else if (!noted && end.peerCode !== undefined && world.applications.has(end)) {
      noted = true;
      end.lifeCycle.on('peer Close');
    }
  };
  socket.on('close', () => {
    const { closeTimeout } = end.plan.options;
    const { since, state } = end.lifeCycle;
    const ending = state === 'closing' || state === 'answered' || state === 'failing';
    if (ending && world.clock.now - since >= closeTimeout) end.lifeCycle.on('close timeout');
    end.lifeCycle.on('socket closed');
  });
  return socket;
}

/** Both ends of the extension, without an HTTP handshake around its negotiation. */
function negotiate(
  permessageDeflate: Library['permessageDeflate'],
  { deflate }: LinkPlan,
): Record<'server' | 'client', ReturnType<ReturnType<Library['permessageDeflate']>['confirm']>> {
  const { level, offloadSize, takeover, threshold } = deflate!;
  const factory = permessageDeflate({
    level,
    offloadSize,
    threshold,
    serverNoContextTakeover: !takeover,
    clientNoContextTakeover: !takeover,
  });
  const accepted = factory.accept(factory.offers()[0]!)!;
  return { server: accepted.extension, client: factory.confirm(accepted.parameters) };
}

/** Makes the connections of both ends, without an opening handshake. */
export function connectDirectly(world: World, { a, b, plan }: Link): void {
  const { permessageDeflate, resolveConnectionOptions, WebSocketConnection } = world.library;
  const extensions =
    plan.deflate === null || plan.a.raw || plan.b.raw ? null : negotiate(permessageDeflate, plan);
  for (const end of [a, b]) {
    if (end.socket === null) continue;
    const role = end === a ? 'server' : 'client';
    const options = resolveConnectionOptions(end.plan.options);
    const extension = extensions === null ? {} : { extensions: [extensions[role]] };
    const ws = new WebSocketConnection(end.socket, { role, options, sharedMemory: true, ...extension });
    world.open(end, ws).start();
  }
}
