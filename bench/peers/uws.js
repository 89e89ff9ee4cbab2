/** uWebSockets.js, which is in no registry: measured where somebody installed it. */

import uws from 'uWebSockets.js';

export async function listen(behaviour, { deflate = false } = {}) {
  const app = uws.App();
  app.ws('/*', {
    compression: deflate ? uws.DEDICATED_COMPRESSOR_32KB | uws.DEDICATED_DECOMPRESSOR_32KB : uws.DISABLED,
    maxPayloadLength: 2 ** 26,
    maxBackpressure: 2 ** 27,
    open(ws) {
      ws.subscribe('all');
    },
    message(ws, data, binary) {
      if (behaviour === 'echo') ws.send(data, binary, deflate);
      else app.publish('all', data, binary);
    },
  });
  return new Promise((resolve) => {
    app.listen('127.0.0.1', 0, (socket) => resolve(uws.us_socket_local_port(socket)));
  });
}
