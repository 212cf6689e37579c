#!/usr/bin/env node
// A whole client of Posthouse on the official Signal library 0.103.0: it registers, publishes its keys
// and its signed device list, holds a WebSocket, and talks with other people's clients, in conversations
// of two and in groups. It believes signed device lists and chains of epochs, as docs/spec/e2ee.md asks.
//
//   node client.mjs http://127.0.0.1:8480 bob
//
// One order a line on stdin:
//   {"do":"send","to":account,"text":…}   {"do":"read","to":account,"ids":[…]}
//   {"do":"join","group":…}               {"do":"say","group":…,"text":…}
//   {"do":"safety","with":account}
// One event a line on stdout: registered, text, receipt, status, sent, joined, safety, other; error ends it.
import { randomUUID, randomInt } from 'node:crypto';
import fs from 'node:fs';
import readline from 'node:readline';
import { WebSocket } from 'ws';
import { KIND, content, conversation, open, read, sign, unpad, uuidText } from './formats.mjs';
import { stores } from './stores.mjs';

const root = new URL('node_modules/libsignal-0.103.0/', import.meta.url);
const { main, version } = JSON.parse(fs.readFileSync(new URL('package.json', root), 'utf8'));
const S = await import(new URL(main, root).href);
const kept = stores(S);

const LIST = 'Posthouse device list v1';
const EPOCH = 'Posthouse group epoch v1';
const CREATE = 0, INVITE = 1, ACCEPT = 2, ADD = 3, REMOVE = 4, LEAVE = 5;
const [, , at, handle] = process.argv;
const b64 = (bytes) => Buffer.from(bytes).toString('base64');
const un = (text) => Buffer.from(text, 'base64');
const key = (bytes) => S.PublicKey.deserialize(un(bytes));
const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

// ---- the account and its keys -----------------------------------------------------------------------

let token;
async function call(method, path, body) {
  const headers = { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(`${at}${path}`, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
}

const registration = randomInt(1, 16384);
const identity = S.PrivateKey.generate();
const me = {
  sessions: new kept.Sessions(), identities: new kept.Identities(identity, registration), once: new kept.PreKeys(),
  signed: new kept.SignedPreKeys(), kyber: new kept.KyberPreKeys(), senderKeys: new kept.SenderKeys(),
};

async function kyberPreKey(id) {
  const pair = S.KEMKeyPair.generate();
  const public_ = pair.getPublicKey().serialize(), signature = identity.sign(public_);
  await me.kyber.saveKyberPreKey(id, S.KyberPreKeyRecord.new(id, Date.now(), pair, signature));
  return { id, key: b64(public_), signature: b64(signature) };
}

async function publishKeys() {
  const pair = S.PrivateKey.generate(), public_ = pair.getPublicKey(), signature = identity.sign(public_.serialize());
  await me.signed.saveSignedPreKey(1, S.SignedPreKeyRecord.new(1, Date.now(), public_, pair, signature));
  const upload = { one_time: [], one_time_kem: [], last_resort: await kyberPreKey(1),
    signed: { id: 1, key: b64(public_.serialize()), signature: b64(signature) } };
  for (let id = 1; id <= 20; id++) {
    const one = S.PrivateKey.generate();
    await me.once.savePreKey(id, S.PreKeyRecord.new(id, one.getPublicKey(), one));
    upload.one_time.push({ id, key: b64(one.getPublicKey().serialize()) });
    upload.one_time_kem.push(await kyberPreKey(1 + id));
  }
  await call('POST', '/v1/keys/prekeys', upload);
}

const account = await call('POST', '/v1/accounts', {
  handle, password: 'correct horse battery staple', device: { name: `libsignal ${version}`, registration_id: registration },
});
token = account.access_token;
const own = account.account_id;
const local = S.ProtocolAddress.new(own, account.device);
await call('PUT', '/v1/keys/identity', { identity_key: b64(identity.getPublicKey().serialize()) });
const now = Date.now();
await call('PUT', '/v1/keys/device-list', {
  list: sign(LIST, [[0, 1], [1, own], [2, 1], [3, now], [4, [[account.device, registration, now]]], [5, []]], identity),
});
await publishKeys();

// ---- sessions ---------------------------------------------------------------------------------------

// The devices that somebody's identity key has signed and that their server has.
async function devicesOf(user) {
  const told = await call('GET', `/v1/users/${encodeURIComponent(user)}/devices`);
  const { fields } = open(LIST, told.device_list, () => key(told.identity_key));
  if (fields.get(1) !== user) throw new Error('a list of somebody else');
  const there = new Set(told.devices.map((one) => one.device));
  return fields.get(4).filter(([number]) => there.has(number)).map(([number, registrationId]) => ({ number, registrationId }));
}

async function begin(user, number) {
  const claim = { request_id: randomUUID(), devices: [number] };
  const { bundles: [b], identity_key } = await call('POST', `/v1/users/${encodeURIComponent(user)}/bundles`, claim);
  const bundle = S.PreKeyBundle.new(b.registration_id, b.device, b.one_time?.id ?? null, b.one_time ? key(b.one_time.key) : null,
    b.signed.id, key(b.signed.key), un(b.signed.signature), key(identity_key),
    b.kem.id, S.KEMPublicKey.deserialize(un(b.kem.key)), un(b.kem.signature));
  await S.processPreKeyBundle(bundle, S.ProtocolAddress.new(user, number), local, me.sessions, me.identities);
}

// A ciphertext for each device of somebody.
async function seal(user, padded) {
  const sealed = [];
  for (const { number, registrationId } of await devicesOf(user)) {
    const address = S.ProtocolAddress.new(user, number);
    if (!await me.sessions.getSession(address)) await begin(user, number);
    const c = await S.signalEncrypt(padded, address, local, me.sessions, me.identities);
    sealed.push({ user, device: number, registration_id: registrationId, type: c.type(), data: b64(c.serialize()) });
  }
  return sealed;
}

async function unseal(from, device, one) {
  const address = S.ProtocolAddress.new(from, device), bytes = un(one.data);
  const padded = one.type === S.CiphertextMessageType.PreKey
    ? await S.signalDecryptPreKey(S.PreKeySignalMessage.deserialize(bytes), address, local, me.sessions, me.identities, me.once, me.signed, me.kyber)
    : await S.signalDecrypt(S.SignalMessage.deserialize(bytes), address, local, me.sessions, me.identities);
  return unpad(padded);
}

// The number that two people compare, for the key that the first device of somebody has used.
async function safety(user) {
  const theirs = await me.identities.getIdentity(S.ProtocolAddress.new(user, 1));
  const number = S.Fingerprint.new(5200, 2, Buffer.from(own), identity.getPublicKey(), Buffer.from(user), theirs);
  tell({ event: 'safety', digits: number.displayableFingerprint().toString() });
}

// ---- sending ----------------------------------------------------------------------------------------

const socket = new WebSocket(`${at.replace(/^http/, 'ws')}/v1/connect`, 'posthouse.v1', { headers: { authorization: `Bearer ${token}` } });
const answers = new Map(), last = new Map();

// Resolves once the server has taken it.
function submit(to, more) {
  const id = randomUUID(), prev = last.get(to);
  const taken = new Promise((done, refused) => answers.set(id, { done, refused }));
  socket.send(JSON.stringify({ type: 'message', id, to, timestamp: Date.now(), ...(prev && { prev }), ...more }));
  last.set(to, id);
  return taken.then(() => id);
}

async function sendTo(user, padded, more) {
  const ciphertexts = (await seal(user, padded)).map(({ user: _, ...one }) => one);
  return submit(user, { content: { type: 'encrypted', encrypted: true, ciphertexts }, ...more });
}

// ---- groups -----------------------------------------------------------------------------------------

// The members by a chain in which every epoch is signed by a key that the chain names for its actor.
async function chainOf(group) {
  const { epochs } = await call('GET', `/v1/groups/${encodeURIComponent(group)}/epochs`);
  const keys = new Map(), members = new Set();
  let previous = null;
  epochs.forEach((document, index) => {
    const { fields, hash } = open(EPOCH, document, (said) => {
      const [kind, owner, ownersKey] = said.get(5);
      return S.PublicKey.deserialize(kind === CREATE ? ownersKey : keys.get(said.get(4)));
    });
    const follows = index === 0 ? !fields.has(3) : previous.equals(fields.get(3));
    if (fields.get(1) !== group || fields.get(2) !== index + 1 || !follows) throw new Error('no chain');
    const [kind, who, theirKey] = fields.get(5);
    if ([CREATE, INVITE, ADD].includes(kind)) keys.set(who, theirKey);
    if ([CREATE, ADD].includes(kind)) members.add(who);
    if (kind === ACCEPT) members.add(fields.get(4));
    if (kind === REMOVE) members.delete(who);
    if (kind === LEAVE) members.delete(fields.get(4));
    previous = hash;
  });
  return { epoch: epochs.length, members, previous };
}

async function join(group) {
  const { epoch, previous } = await chainOf(group);
  const accept = sign(EPOCH, [[0, 1], [1, group], [2, epoch + 1], [3, previous], [4, own], [5, [ACCEPT]], [6, Date.now()]], identity);
  await call('POST', `/v1/groups/${encodeURIComponent(group)}/epochs`, { epoch: accept });
  tell({ event: 'joined', group });
}

// Hands the sender key to everybody, and says something under it.
async function say(group, text) {
  const { epoch, members } = await chainOf(group);
  const distribution = uuidText(conversation(group));
  const handed = await S.SenderKeyDistributionMessage.create(local, distribution, me.senderKeys);
  const padded = content(KIND.distribution, [[16, handed.serialize()]], group);
  const ciphertexts = [];
  for (const member of members) if (member !== own) ciphertexts.push(...await seal(member, padded));
  await submit(group, { class: 'key', epoch, content: { type: 'encrypted', encrypted: true, ciphertexts } });
  const said = await S.groupEncrypt(local, distribution, me.senderKeys, content(KIND.text, [[16, text]], group));
  return submit(group, { epoch, content: { type: 'encrypted', encrypted: true, body: b64(said.serialize()) } });
}

// ---- receiving --------------------------------------------------------------------------------------

async function onMessage({ id, from, from_device, content: { ciphertexts, body } }) {
  const sender = S.ProtocolAddress.new(from, from_device);
  const said = ciphertexts ? await unseal(from, from_device, ciphertexts[0])
    : unpad(await S.groupDecrypt(sender, me.senderKeys, un(body)));
  const group = said.get(3);
  switch (said.get(1)) {
    case KIND.text: return tell({ event: 'text', id, from, group, text: said.get(16) });
    case KIND.receipt: return tell({ event: 'receipt', from, status: said.get(16), ids: said.get(17).map(uuidText) });
    case KIND.distribution:
      return S.processSenderKeyDistributionMessage(sender, S.SenderKeyDistributionMessage.deserialize(said.get(16)), me.senderKeys);
    default: return tell({ event: 'other', from, kind: said.get(1) });
  }
}

async function onFrame(frame) {
  if (frame.type === 'message') await onMessage(frame);
  if (frame.type === 'error') {
    const answer = answers.get(frame.ref);
    if (!answer) throw new Error(JSON.stringify(frame));
    answer.refused(new Error(`${frame.code}: ${frame.message}`));
  }
  if (frame.type === 'status' && frame.status === 'sent') answers.get(frame.message_id)?.done();
  else if (frame.type === 'status') tell({ event: 'status', id: frame.message_id, status: frame.status });
  if (frame.cursor) socket.send(JSON.stringify({ type: 'ack', through: frame.cursor, status: 'delivered' }));
}

// One thing after the other: frames and orders share the sessions.
let work = new Promise((done) => socket.once('open', done));
const fail = (err) => { tell({ event: 'error', error: String(err?.stack ?? err) }); process.exit(1); };
const next = (task) => { work = work.then(task).catch(fail); };
socket.on('message', (data) => {
  const frame = JSON.parse(data);
  // Answers to what an order waits for must not wait for the order.
  if (frame.type === 'status' || frame.type === 'error') onFrame(frame).catch(fail);
  else next(() => onFrame(frame));
});
socket.on('error', fail);
tell({ event: 'registered', account: own, library: version, identity: b64(identity.getPublicKey().serialize()) });
for await (const line of readline.createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  next(async () => {
    if (order.do === 'join') return join(order.group);
    if (order.do === 'safety') return safety(order.with);
    const id = order.do === 'send' ? await sendTo(order.to, content(KIND.text, [[16, order.text]]))
      : order.do === 'read' ? await sendTo(order.to, read(order.ids), { class: 'receipt' })
        : await say(order.group, order.text);
    return tell({ event: 'sent', id });
  });
}
process.exit(0);
