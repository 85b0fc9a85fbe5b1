// Two people and the packed client: what one does, the copy of the other shows, whatever the network does in between.
// Prints TAP. CLIENT_TEST is a JSON object: url, ada, grace and joan, whom nobody knows (tokens, id), conversation, stranger (a conversation of others).
import assert from 'node:assert/strict';
import { Api, ApiError, Chat } from 'rapport-client';

const { url, ada, grace, joan, conversation, stranger } = JSON.parse(process.env.CLIENT_TEST);
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
  assert.deepEqual(await chat.sync(), [{ kind: 'reset' }]);
  assert.deepEqual(await chat.sync(), []);
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

// A server of one conversation, whose history begins after `gone`; fails says what is refused next.
function small({ last, gone = 0, told = gone, is_group = false }) {
  const server = { last, gone, told, view_seq: 0, news: [], hush: new Set(), fails: () => false, requests: 0 };
  server.get = async (path, query) => {
    if (++server.requests > 50) throw new Error('it never ends');
    if (server.fails(path, query)) throw new TypeError('cut off');
    if (path === '/v1/sync') {
      const numbers = {
        kind: 'conversation', conversation_id: 1, is_group, person_id: 2, title: null, last_seq: server.last, change_seq: 0, joined_seq: server.told,
        read_seq: 0, delivered_seq: 0, unread: 0, other_delivered_seq: 0, other_read_seq: 0, muted_until: null, archived_seq: null, archived: false,
        view_seq: is_group ? server.view_seq : null, hidden: null,
      };
      // A page each for the news and the conversation.
      const page = query.since === null ? 'reset' : query.since;
      if (page === 'more') return { reset: false, items: [numbers], more: false, next: 'now' };
      const items = server.news.splice(0);
      return page === 'reset' ? { reset: true, items: [numbers], more: false, next: 'now' } : { reset: false, items, more: true, next: 'more' };
    }
    const first = Math.max(server.gone + 1, query.after_seq === undefined ? (query.before_seq ?? server.last + 1) - query.page_size : query.after_seq + 1);
    const end = query.after_seq === undefined ? (query.before_seq ?? server.last + 1) : first + query.page_size;
    const items = [];
    for (let seq = first; seq < end && seq <= server.last; seq++) {
      const quiet = server.hush.has(seq);
      items.push({ seq, sender_id: 2, sent_at: '2026-01-01T00:00:00Z', state: quiet ? 'deleted' : 'sent', body: quiet ? null : `m${seq}`, attrs: null, edited_at: null, expires_at: null, reactions: [] });
    }
    return { items };
  };
  return server;
}
const seqs = (chat) => chat.messages(1).map((m) => m.seq);

await test('the history begins later: a new device is done, whether or not it was told', async () => {
  for (const told of [0, 500]) {
    const server = small({ last: 510, gone: 500, told });
    const chat = new Chat(server, { history: 50 });
    await chat.sync();
    assert.deepEqual(seqs(chat), Array.from({ length: 10 }, (_, i) => 501 + i));
    assert.equal(await chat.older(chat.conversations.get(1)), false);
  }
  const none = new Chat(small({ last: 5, gone: 5, told: 0 }));
  await none.sync();
  assert.deepEqual(seqs(none), []);
});

await test('the history begins later: a device that has what is no longer kept goes on', async () => {
  for (const told of [0, 500]) {
    const server = small({ last: 3 });
    const chat = new Chat(server);
    await chat.sync();
    assert.deepEqual(seqs(chat), [1, 2, 3]);
    Object.assign(server, { last: 502, gone: 500, told });
    await chat.sync();
    assert.deepEqual(seqs(chat), [501, 502]);
    server.last = 503;
    await chat.sync();
    assert.deepEqual(seqs(chat), [501, 502, 503]);
    assert.equal(await chat.older(chat.conversations.get(1)), false);
  }
});

await test('a gap is not taken for a later beginning', async () => {
  const server = small({ last: 3 });
  const chat = new Chat(server);
  await chat.sync();
  const honest = server.get;
  server.last = 5;
  server.get = async (path, query) => (query.after_seq === 3 ? { items: [] } : honest(path, query));
  await assert.rejects(chat.sync(), /message 4 of conversation 1 is missing/);
  assert.deepEqual(seqs(chat), [1, 2, 3]);
});

await test('news are returned by the next round that succeeds, whatever fails: a history, a later page, the app', async () => {
  const match = { kind: 'match', person_id: 2, conversation_id: 1, matched_at: '2026-01-01T00:00:00Z' };
  const cuts = [(path) => path.includes('/messages'), (path, query) => query.since === 'more'];
  for (const cut of cuts) {
    const server = small({ last: 3 });
    let chat = new Chat(server);
    await chat.sync();
    server.news.push(match);
    server.last = 4;
    server.fails = cut;
    await assert.rejects(chat.sync(), /cut off/);
    server.fails = () => false;
    chat = new Chat(server, { state: chat.save() });
    assert.deepEqual(await chat.sync(), [match]);
    assert.deepEqual(await chat.sync(), []);
    assert.deepEqual(seqs(chat), [1, 2, 3, 4]);
  }
});

await test('what is saved before there were events is read', async () => {
  const chat = new Chat(small({ last: 1 }));
  await chat.sync();
  const { events: _events, ...old } = JSON.parse(chat.save());
  assert.deepEqual(await new Chat(small({ last: 1 }), { state: JSON.stringify(old) }).sync(), []);
});

await test('a list that is stale, an intro that is gone: told', async () => {
  const server = small({ last: 0 });
  const chat = new Chat(server);
  await chat.sync();
  const news = [{ kind: 'stale', list: 'likes', mode: 'friends' }, { kind: 'stale', list: 'matches' }, { kind: 'intro_gone', person_id: 3 }];
  server.news.push(...news);
  assert.deepEqual(await chat.sync(), news);
});

await test('likes, intros and titles on other devices: what is told leaves lists as they are', async () => {
  const j = api(joan);
  const [hers, mine] = [new Chat(j), new Chat(g)];
  await Promise.all([hers.sync(), mine.sync()]);
  const told = async (chat) => (await chat.sync()).filter((event) => event.kind !== 'conversation');
  await j.request('POST', `/v1/people/${grace.id}/like`);
  const [like] = await told(mine);
  assert.deepEqual([like.kind, like.person_id], ['like', joan.id]);
  await j.request('POST', '/v1/rewind');
  assert.deepEqual(await told(mine), [{ kind: 'stale', list: 'likes', mode: like.mode }]);
  assert.deepEqual((await g.get('/v1/likes')).items, []);
  await told(hers);
  await j.request('POST', `/v1/people/${grace.id}/intro`, { body: 'Hello' });
  const [{ kind, person_id, sent_at }] = await told(hers);
  const [sent] = (await j.get('/v1/intros/sent')).items;
  assert.deepEqual([kind, person_id, sent_at], ['intro_sent', sent.person_id, sent.sent_at]);
  assert.equal((await told(mine))[0].mode, (await g.get('/v1/intros')).items[0].in_mode);
  const group = (await a.request('POST', '/v1/groups', { title: 'Walkers' })).conversation_id;
  await a.request('PUT', `/v1/conversations/${group}/invitations/${grace.id}`);
  await told(mine);
  await a.request('PUT', `/v1/conversations/${group}/title`, { title: 'Hikers' });
  const { kind: _kind, ...invitation } = (await told(mine))[0];
  const { display_name: _name, ...listed } = (await g.get('/v1/group-invitations')).items[0];
  assert.deepEqual(invitation, listed);
  await a.request('POST', `/v1/conversations/${group}/leave`);
  const { conversation_id } = await g.request('POST', `/v1/intros/${joan.id}/accept`);
  await Promise.all([mine.sync(), hers.sync()]);
  await j.request('DELETE', `/v1/matches/${grace.id}`);
  assert.deepEqual(await told(mine), [{ kind: 'gone', conversation_id, person_id: joan.id, mode: like.mode }]);
});

await test('a group whose view has changed is read anew, once', async () => {
  const server = small({ last: 8, is_group: true });
  const chat = new Chat(server);
  await chat.sync();
  server.hush.add(4).add(7);
  server.view_seq = 1;
  await chat.sync();
  assert.deepEqual(chat.messages(1).filter((m) => m.body === null).map((m) => m.seq), [4, 7]);
  const { requests } = server;
  await chat.sync();
  assert.equal(server.requests, requests + 2);
});

await test('receipts switched on another device', async () => {
  const other = new Chat(a);
  await other.sync();
  const { last_seq } = graces.conversations.get(conversation);
  await graces.markRead(conversation, last_seq);
  await other.sync();
  for (const read_receipts of [false, true]) {
    await a.request('PUT', '/v1/me/chat', { read_receipts });
    assert.deepEqual(await other.sync(), [{ kind: 'preferences', read_receipts }]);
    assert.equal(other.conversations.get(conversation).other_read_seq, read_receipts ? last_seq : null);
  }
});

await test('a receipt', async () => {
  await adas.sync();
  const { last_seq } = graces.conversations.get(conversation);
  await graces.markRead(conversation, last_seq);
  assert.equal(graces.conversations.get(conversation).unread, 0);
  await adas.sync();
  assert.equal(adas.conversations.get(conversation).other_read_seq, last_seq);
});

await test('deleted for oneself on another device: the copy is what the history shows', async () => {
  const other = new Chat(g, { history: 1000 });
  await other.sync();
  await g.request('PATCH', `/v1/conversations/${conversation}/messages/${(await graces.send(conversation, 'a slip')).seq}`, { body: 'a slip of mine' });
  await other.sync();
  const { last_seq } = other.conversations.get(conversation);
  for (const seq of [4, last_seq]) await g.request('DELETE', `/v1/conversations/${conversation}/messages/${seq}`);
  await other.sync();
  assert.equal(other.messages(conversation)[3].state, 'hidden');
  await assertCopy(other, g);
});

await test('a mute that runs out: a device that nobody tells knows it, and what it had put away is back', async () => {
  const other = new Chat(a);
  await other.sync();
  const hour = 3600000;
  const path = `/v1/conversations/${conversation}`;
  const seen = async (until) => {
    await a.request('PUT', `${path}/mute`, { until });
    await other.sync();
    return [0, 2 * hour].map((later) => [other.isMuted(conversation, Date.now() + later), other.isArchived(conversation, Date.now() + later)]);
  };
  await a.request('PUT', `${path}/archive`, { archived: true });
  assert.deepEqual(await seen(null), [[false, true], [false, true]]);
  await graces.send(conversation, 'are you there?');
  assert.deepEqual(await seen(new Date(Date.now() + hour).toISOString()), [[true, true], [false, false]]);
  assert.deepEqual(await seen('infinity'), [[true, true], [true, true]]);
  assert.deepEqual(await seen(null), [[false, false], [false, false]]);
  await a.request('PUT', `${path}/archive`, { archived: false });
  for (const minutes of [60, null]) await a.request('PUT', `${path}/timer`, { minutes });
  await other.sync();
  assert.deepEqual(other.messages(conversation).slice(-2).map((m) => m.attrs.event.minutes ?? null), [60, null]);
  assert.equal(other.isArchived(conversation), false);
  assert.equal(other.isMuted(stranger) || other.isArchived(stranger), false);
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
