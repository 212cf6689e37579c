// Posthouse's own formats, as docs/spec/e2ee.md draws them: contents, padding, signed documents.
import { createHash } from 'node:crypto';

// ---- deterministic CBOR: unsigned numbers, bytes, text, arrays, and maps from numbers ---------------

function head(major, n) {
  const value = BigInt(n);
  if (value < 24n) return Buffer.from([(major << 5) | Number(value)]);
  const size = value < 0x100n ? 0 : value < 0x10000n ? 1 : value < 0x100000000n ? 2 : 3;
  const out = Buffer.alloc(1 + (1 << size));
  out[0] = (major << 5) | (24 + size);
  for (let i = out.length - 1, rest = value; i > 0; i--, rest >>= 8n) out[i] = Number(rest & 255n);
  return out;
}

export function encode(value) {
  if (typeof value === 'number') return head(0, value);
  if (typeof value === 'boolean') return Buffer.from([value ? 0xf5 : 0xf4]);
  if (typeof value === 'string') { const b = Buffer.from(value); return Buffer.concat([head(3, b.length), b]); }
  if (value instanceof Uint8Array) return Buffer.concat([head(2, value.length), value]);
  if (Array.isArray(value)) return Buffer.concat([head(4, value.length), ...value.map(encode)]);
  const entries = [...value].sort(([a], [b]) => a - b);
  return Buffer.concat([head(5, entries.length), ...entries.flat().map(encode)]);
}

export function decode(bytes) {
  let at = 0;
  const take = (n) => { if (at + n > bytes.length) throw new Error('CBOR is cut off'); at += n; return bytes.subarray(at - n, at); };
  const item = () => {
    const first = take(1)[0]; const major = first >> 5; let n = first & 31;
    if (major === 7 && (n === 20 || n === 21)) return n === 21;
    if (major === 7 && n === 22) return null;
    if (n > 27) throw new Error(`CBOR byte ${first}`);
    if (n >= 24) n = Number([...take(1 << (n - 24))].reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n));
    if (major === 0) return n;
    if (major === 2) return Buffer.from(take(n));
    if (major === 3) return Buffer.from(take(n)).toString();
    if (major === 4) return Array.from({ length: n }, item);
    if (major === 5) return new Map(Array.from({ length: n }, () => [item(), item()]));
    throw new Error(`CBOR major type ${major}`);
  };
  const value = item();
  if (at !== bytes.length) throw new Error('CBOR goes on');
  return value;
}

// ---- contents ---------------------------------------------------------------------------------------

export const KIND = { text: 1, receipt: 7, typing: 8, distribution: 11, profileKey: 13 };
const READ = 1;
const BUCKETS = [159, 319, 639, 1279, 2559, 5119, 10239, 20479, 40959];

function pad(content) {
  const whole = BUCKETS.find((bucket) => bucket > content.length);
  if (!whole) throw new Error('longer than this client writes');
  return Buffer.concat([content, Buffer.from([0x80]), Buffer.alloc(whole - content.length - 1)]);
}

export function unpad(padded) {
  let end = padded.length;
  while (end > 0 && padded[end - 1] === 0) end--;
  if (padded[end - 1] !== 0x80) throw new Error('no end of the content');
  return decode(padded.subarray(0, end - 1));
}

export function content(kind, fields, group) {
  const all = new Map([[0, 1], [1, kind], [2, Date.now()], ...fields]);
  if (group) all.set(3, group);
  return pad(encode(all));
}

export const uuidBytes = (id) => Buffer.from(id.replaceAll('-', ''), 'hex');
export const uuidText = (bytes) => Buffer.from(bytes).toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
export const read = (ids) => content(KIND.receipt, [[16, READ], [17, ids.map(uuidBytes)]]);

// ---- documents --------------------------------------------------------------------------------------

const under = (label, end, payload) => Buffer.concat([Buffer.from(label), Buffer.from([end]), payload]);

export function sign(label, fields, key) {
  const payload = encode(new Map(fields));
  return encode([payload, Buffer.from(key.sign(under(label, 0, payload)))]).toString('base64');
}

// What a document says, if this key signed it.
export function open(label, document, keyOf) {
  const [payload, signature] = decode(Buffer.from(document, 'base64'));
  const fields = decode(payload);
  if (!keyOf(fields).verify(under(label, 0, payload), signature)) throw new Error(`a forged ${label}`);
  return { fields, hash: createHash('sha256').update(under(label, 1, payload)).digest() };
}

export const conversation = (group) =>
  createHash('sha256').update(`posthouse conversation group v1\0${group}`).digest().subarray(0, 16);
