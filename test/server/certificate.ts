/** A self-signed certificate for localhost and 127.0.0.1, for tests only. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const pem = readFileSync(join(import.meta.dirname, '../support/localhost.pem'), 'utf8');
const begin = pem.indexOf('-----BEGIN CERTIFICATE');

export const key: string = pem.slice(0, begin);
export const cert: string = pem.slice(begin);
