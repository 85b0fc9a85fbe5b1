// Two people and the packed client: what one does, the copy of the other shows, whatever the network does in between.
// Prints TAP. CLIENT_TEST is a JSON object: url, ada and grace (tokens, id), conversation, stranger (a conversation of others).
import assert from 'node:assert/strict';
import { Api, ApiError, Chat } from 'rapport-client';

const { url, ada, grace, conversation, stranger } = JSON.parse(process.env.CLIENT_TEST);
let count = 0;
let failed = 0;

async function test(name, body) {
  count++;
  try {
    await body();
    console.log(`ok ${count} - ${name}`);
  } catch (error) {
    failed++;
    console.log(`not ok ${count} - ${name}\n${String(error.stack).replace(/^/gm, '# ')}`);
  }
}

// Numbers that look random and are the same each time.
function dice(seed) {
  return () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
}

// A network that loses requests and, as often, answers.
function lossy(share, seed, lost = { requests: 0, answers: 0 }) {
  const roll = dice(seed);
  return Object.assign(async (input, init) => {
    if (roll() < share) {
      lost.requests++;
      throw new TypeError('the request was lost');
    }
    const answer = await fetch(input, init);
    await answer.clone().text();
    if (roll() < share) {
      lost.answers++;
      throw new TypeError('the answer was lost');
    }
    return answer;
  }, { lost });
}

const api = (who, options = {}) => new Api({ url, tokens: { ...who.tokens }, firstWaitMs: 1, attempts: 30, ...options });

// The whole conversation as the server tells it, page by page.
async function history(reader) {
  const all = [];
  for (;;) {
    const { items } = await reader.get(`/v1/conversations/${conversation}/messages`, { after_seq: all.length, page_size: 100 });
    if (items.length === 0) return all;
    all.push(...items);
  }
}

async function assertCopy(chat, reader) {
  assert.deepEqual(chat.messages(conversation), await history(reader));
}

const a = api(ada);
const g = api(grace);
const adas = new Chat(a, { history: 1000 });
let graces = new Chat(g, { history: 1000 });

await test('a first sync lists the conversation', async () => {
  await adas.sync();
  await graces.sync();
  assert.equal(adas.conversations.get(conversation).person_id, grace.id);
  assert.equal(graces.conversations.get(conversation).last_seq, 0);
  assert.equal(graces.conversations.has(stranger), false);
});

await test('what one sends, the other has, in its order, in small pages', async () => {
  graces = new Chat(g, { history: 1000, pageSize: 3, state: graces.save() });
  const sent = await Promise.all(Array.from({ length: 25 }, (_, i) => adas.send(conversation, `message ${i}`)));
  assert.deepEqual(sent.map((s) => s.seq), Array.from({ length: 25 }, (_, i) => i + 1));
  await graces.sync();
  assert.deepEqual(graces.messages(conversation).map((m) => m.body), Array.from({ length: 25 }, (_, i) => `message ${i}`));
  assert.equal(graces.conversations.get(conversation).unread, 25);
  await assertCopy(graces, g);
});

await test('a network that loses requests and answers: stored once each', async () => {
  const network = lossy(0.3, 7);
  const chat = new Chat(api(ada, { fetch: network }));
  const before = (await history(a)).length;
  await Promise.all(Array.from({ length: 30 }, (_, i) => chat.send(conversation, `once ${i}`)));
  assert.ok(network.lost.requests > 0 && network.lost.answers > 0);
  const bodies = (await history(a)).slice(before).map((m) => m.body);
  assert.deepEqual(bodies, Array.from({ length: 30 }, (_, i) => `once ${i}`));
  assert.equal(chat.outbox.length, 0);
});

await test('control: with a new name for every attempt the same network stores some twice', async () => {
  const network = lossy(0.3, 7);
  const careless = api(ada, {
    fetch: (input, init) => network(input, { ...init, body: JSON.stringify({ ...JSON.parse(init.body), client_id: `c${Math.random()}` }) }),
  });
  const before = (await history(a)).length;
  const chat = new Chat(careless);
  for (let i = 0; i < 10; i++) await chat.send(conversation, `careless ${i}`);
  assert.ok((await history(a)).length - before > 10);
});

await test('edits, deletions and reactions reach who was away', async () => {
  await graces.sync();
  const path = `/v1/conversations/${conversation}/messages`;
  await a.request('PATCH', `${path}/2`, { body: 'changed my mind' });
  await a.request('DELETE', `${path}/3?for_all=true`);
  await a.request('PUT', `${path}/4/reaction`, { reaction: '\u{1F44D}' });
  await adas.send(conversation, 'and one more', { reply_to: 4 });
  await graces.sync();
  const copy = graces.messages(conversation);
  assert.equal(copy[1].body, 'changed my mind');
  assert.equal(copy[2].body, null);
  assert.equal(copy[3].reactions[0].count, 1);
  await assertCopy(graces, g);
});

await test('cut off between any two requests, the copy goes on from what was saved', async () => {
  for (let allowed = 1; allowed < 6; allowed++) {
    const old = graces.save();
    for (let i = 0; i < 7; i++) await adas.send(conversation, `cut ${allowed} ${i}`);
    await a.request('PATCH', `/v1/conversations/${conversation}/messages/5`, { body: `edit ${allowed}` });
    let requests = 0;
    const cut = api(grace, {
      attempts: 1,
      fetch: (input, init) => (++requests > allowed ? Promise.reject(new TypeError('cut off')) : fetch(input, init)),
    });
    const interrupted = new Chat(cut, { pageSize: 2, state: old });
    await interrupted.sync().catch(() => {});
    graces = new Chat(g, { pageSize: 2, state: interrupted.save() });
    await graces.sync();
    await assertCopy(graces, g);
  }
});

await test('after a reset the numbers tell what is missing: messages, and changes of old ones', async () => {
  const state = JSON.parse(graces.save());
  await a.request('PATCH', `/v1/conversations/${conversation}/messages/6`, { body: 'while nobody listened' });
  await a.request('DELETE', `/v1/conversations/${conversation}/messages/7?for_all=true`);
  await adas.send(conversation, 'after the reset');
  const chat = new Chat(g, { state: JSON.stringify({ ...state, token: null }) });
  await chat.sync();
  await assertCopy(chat, g);
  graces = chat;
});

await test('a new device reads the newest, and back as far as it likes', async () => {
  const chat = new Chat(g, { history: 10 });
  await chat.sync();
  const copy = chat.conversations.get(conversation);
  assert.ok(copy.messages.size >= 10 && copy.messages.size < 20);
  while (await chat.older(copy));
  await assertCopy(chat, g);
});

await test('a receipt', async () => {
  await adas.sync();
  const { last_seq } = graces.conversations.get(conversation);
  await graces.markRead(conversation, last_seq);
  assert.equal(graces.conversations.get(conversation).unread, 0);
  await adas.sync();
  assert.equal(adas.conversations.get(conversation).other_read_seq, last_seq);
});

await test('what is refused leaves the outbox, and the next is sent', async () => {
  const refused = adas.send(stranger, 'not for me');
  const taken = adas.send(conversation, 'for us');
  await assert.rejects(refused, (error) => error instanceof ApiError && error.code === 'not_found');
  assert.ok((await taken).seq > 0);
  assert.equal(adas.outbox.length, 0);
});

await test('the outbox survives the end of the app', async () => {
  const dead = new Chat(api(ada, { attempts: 1, fetch: () => Promise.reject(new TypeError('no network')) }));
  dead.send(conversation, 'written in a tunnel').catch(() => {});
  await dead.flush().catch(() => {});
  const chat = new Chat(a, { state: dead.save() });
  assert.equal(chat.outbox.length, 1);
  await chat.flush();
  await chat.flush();
  assert.equal((await history(a)).filter((m) => m.body === 'written in a tunnel').length, 1);
});

await test('an expired token is renewed once, whoever waits for it', async () => {
  const kept = [];
  let refreshes = 0;
  const stale = api({ tokens: { access_token: ada.expired, refresh_token: ada.tokens.refresh_token } }, {
    onTokens: (tokens) => kept.push(tokens),
    fetch: (input, init) => {
      if (String(input).endsWith('/v1/sessions/refresh')) refreshes++;
      return fetch(input, init);
    },
  });
  await Promise.all([stale.get('/v1/account'), stale.get('/v1/matches'), stale.get('/v1/conversations')]);
  assert.equal(refreshes, 1);
  assert.equal(kept.length, 1);
  assert.notEqual(kept[0].access_token, ada.expired);
});

await test('an unmatched conversation is gone from the copy', async () => {
  await a.request('DELETE', `/v1/matches/${grace.id}`);
  const events = await graces.sync();
  assert.ok(events.some((e) => e.kind === 'gone' && e.conversation_id === conversation));
  assert.equal(graces.conversations.has(conversation), false);
});

console.log(`1..${count}`);
process.exitCode = failed > 0 ? 1 : 0;
