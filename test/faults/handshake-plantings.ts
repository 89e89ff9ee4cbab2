/** Faults of handshakes and servers that were real once, by the row of test/scenarios.ts that they break. */
import type { Fault } from './copy.js';

/** A fault of one edit. */
function fault(name: string, what: string, file: string, find: string, replace: string): Fault {
  return { name, what, edits: [{ file: `src/${file}`, find, replace }] };
}

export const handshakePlantings: readonly Fault[] = [
  fault(
    'X-06',
    'a refusal that nothing awaits is an unhandled rejection',
    'server/websocket-server.ts',
    'upgraded.catch(ignore);',
    '',
  ),
  fault(
    'X-14',
    'an unserved upgrade has no error listener',
    'server/dispatcher.ts',
    "socket.on('error', ignore);",
    '',
  ),
  fault(
    'X-14',
    'an unserved upgrade beside another listener stays open',
    'server/dispatcher.ts',
    'if (!isUpgraded(socket) &&',
    'if (false &&',
  ),
  fault(
    'X-18',
    'fields and certificate go to another origin',
    'client/redirect.ts',
    'current = forAnotherOrigin(current);',
    '',
  ),
  fault(
    'X-18',
    'the agent is used for another origin',
    'client/redirect.ts',
    'if (current.agent !== undefined)',
    'if (redirects < 0)',
  ),
  fault(
    'X-19',
    'a server may choose two extensions',
    'handshake/client-handshake.ts',
    'if (elements.length > 1)',
    'if (false)',
  ),
  fault(
    'X-20',
    'a 204 has a body',
    'server/refuse.ts',
    'const content = !withoutContent.includes(status);',
    'const content = status > 0;',
  ),
  fault(
    'X-20',
    'a FIN during authenticate is not noticed',
    'server/admission.ts',
    ".once('end', onGone);",
    ';',
  ),
  fault(
    'X-20',
    'a reset while the body of a refusal is read hides its status',
    'client/attempt.ts',
    'if (refused) return;',
    '',
  ),
  fault(
    'X-20',
    'an abort while the body of a refusal is read is not the outcome',
    'client/attempt.ts',
    'if (options.signal?.aborted) return fail(options.signal.reason);',
    '',
  ),
  fault(
    'X-21',
    'a close reason reaches the terminal as it is',
    'cli/connect.ts',
    'harmless(reason)',
    'reason',
  ),
  fault(
    'X-22',
    'pending answers in front of an upgrade are not seen',
    'server/pipeline.ts',
    'return responses === undefined || responses.size === 0 ? undefined : responses;',
    'return responses === undefined || responses.size >= 0 ? undefined : responses;',
  ),
  fault(
    'X-23',
    'an https page of the same host is refused on a plain request',
    'handshake/origin.ts',
    'own.some((one) => isSameOrigin(origin, one))',
    'isSameOrigin(origin, own[0]!)',
  ),
  fault(
    'X-23',
    'encrypted: false is TLS',
    'server/request-context.ts',
    '(request.socket as TLSSocket).encrypted === true;',
    "'encrypted' in (request.socket as TLSSocket);",
  ),
  fault(
    'X-24',
    'node:http gets a flat list of header fields',
    'client/attempt.ts',
    'headers: toHeaders(requestFields(uri.host, offer, headers)),',
    'headers: requestFields(uri.host, offer, headers).flat(),',
  ),
  fault(
    'X-28',
    'a deadline counts before what has arrived is read',
    'deadline.ts',
    'immediate = setImmediate(() => {\n          immediate = setImmediate(expired);\n        });',
    'expired();',
  ),
  fault(
    'X-28',
    'time in which the process was blocked counts',
    'deadline.ts',
    'if (performance.now() - due < LATE || ++stalls > SLICES) left -= time;',
    'left -= performance.now() - due + time;',
  ),
  fault(
    'X-28',
    'a request that has arrived gets 408',
    'server/own-server.ts',
    'setImmediate(() => this.#refuse(socket, status));',
    'this.#refuse(socket, status);',
  ),
  fault(
    'X-35',
    'close() visits all connections in one turn',
    'server/slices.ts',
    'if (++visits > MAX_VISITS || performance.now() - began > MAX_SLICE) {',
    'if (++visits > MAX_VISITS * 1e9 || performance.now() - began > MAX_SLICE * 1e9) {',
  ),
];
