/** The protocol without I/O, by its subpath. */
import { Endpoint, EndpointEvent, Opcode } from 'sluice/protocol';
import { is } from './same.js';

const endpoint = new Endpoint({ role: 'client' });
endpoint.push(Buffer.alloc(2));
if (endpoint.next() === EndpointEvent.Data) is<Buffer>()(endpoint.chunk);
is<Promise<void> | undefined>()(endpoint.send(Opcode.Text, 'hello'));
is<Buffer[]>()(endpoint.take());
is<number>()(endpoint.bytesSent);
