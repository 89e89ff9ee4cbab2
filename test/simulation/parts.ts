/** What connections are made of, besides the library. */
import { signOfLife } from './liveness.js';
import type { End } from './model.js';
import type { LinkPlan } from './program.js';
import { SimulatedSocket } from './socket.js';
import type { Library, World } from './world.js';

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
export function negotiate(
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
