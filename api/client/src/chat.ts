/*
 * Chat: a copy of one's conversations that misses nothing, and messages that are
 * sent once however often they have to be tried.
 *
 * The copy follows `GET /v1/sync`. Its items can come twice: a message is known by
 * its number, a change by the number of the change, the rest replaces what was there.
 * Numbers of messages have no gaps, so a gap in the copy is seen, and read from the
 * history. After a reset (a failover, a restore, too long away) the numbers of the
 * conversations tell what is missing.
 */
import { Api, ApiError, type Json } from './api.js';

export interface Message {
  seq: number;
  sender_id: number | null;
  sent_at: string;
  /** sent, system (what happened is attrs.event), deleted, expired, hidden: the last three have no body. */
  state: string;
  body: string | null;
  attrs: { [key: string]: Json } | null;
  edited_at: string | null;
  expires_at: string | null;
  reactions: { reaction: string; count: number; mine: boolean }[];
}

export interface Conversation {
  conversation_id: number;
  is_group: boolean;
  person_id: number | null;
  title: string | null;
  last_seq: number;
  /** When its last message was sent, or it began. */
  last_at: string;
  change_seq: number;
  joined_seq: number;
  read_seq: number;
  delivered_seq: number;
  unread: number;
  other_delivered_seq: number | null;
  other_read_seq: number | null;
  /** A time, or `infinity`: ask isMuted(). */
  muted_until: string | null;
  /** The last message when it was archived: ask isArchived(). */
  archived_seq: number | null;
  /** Of a group: another number when a block, or its end, has changed what one sees of it. */
  view_seq: number | null;
  /** The messages that the copy has, by number: all from first_seq on. */
  messages: Map<number, Message>;
  first_seq: number;
}

export interface Pending {
  conversation_id: number;
  client_id: string;
  body: string;
  attrs: { [key: string]: Json } | null;
}

export interface Sent {
  seq: number;
  sent_at: string;
  duplicate: boolean;
}

/** What sync() tells besides conversations. Kinds may be added: pass over what you do not know. */
export type ChatEvent =
  /** Ends the intros between the two, and the like in its mode. */
  | { kind: 'match'; person_id: number; mode: string; conversation_id: number | null; matched_at: string }
  | { kind: 'like'; person_id: number; mode: string; super_like: boolean; liked_at: string }
  | { kind: 'intro'; person_id: number; mode: string; body: string; sent_at: string }
  /** One's own, maybe from another device. */
  | { kind: 'intro_sent'; person_id: number; sent_at: string }
  /** Declined, maybe on another device. */
  | { kind: 'intro_gone'; person_id: number }
  /** Again when the group has a new title. */
  | { kind: 'group_invitation'; conversation_id: number; title: string; invited_by: number; invited_at: string }
  /** A conversation no longer one's own; of a match, with whom: intros and the like in its mode have ended as well. */
  | { kind: 'gone'; conversation_id: number; person_id: number | null; mode: string | null }
  /** Who sees what was read, chosen anew, maybe on another device. */
  | { kind: 'preferences'; read_receipts: boolean }
  /** The first sync, or one whose numbers mean nothing any more: every list is to be read anew, and the preferences. */
  | { kind: 'reset' }
  /** The list is to be read anew: so much is new, or something has gone from it or is back. */
  | { kind: 'stale'; list: 'matches' | 'intros' | 'intros_sent' | 'group_invitations' | 'blocks' | 'profile' }
  | { kind: 'stale'; list: 'likes'; mode: string };

type Told = { [key: string]: Json } & { kind: string; conversation_id: number };

export interface ChatOptions {
  /** What save() returned; the copy goes on from there. */
  state?: string;
  /** How many of the newest messages are read of a conversation that is new to the copy. */
  history?: number;
  /** Items a page of sync. */
  pageSize?: number;
}

interface SyncPage {
  reset: boolean;
  items: Told[];
  more: boolean;
  next: string;
}

interface SavedState {
  token: string | null;
  conversations: (Omit<Copy, 'messages'> & { messages: Message[] })[];
  outbox: Pending[];
  /** What no sync() has returned yet; not in what older versions saved. */
  events?: ChatEvent[];
}

/** Who called send(). */
interface Waiting {
  resolve: (sent: Sent) => void;
  reject: (error: unknown) => void;
}

/** A conversation, and what the copy still has to be asked for. */
interface Copy extends Conversation {
  /** Every message before it is here. */
  next_seq: number;
  /** Every change up to it. */
  seen_change: number;
  /** Listed by a reset, which tells no changes. */
  stale: boolean;
}

const PAGE = 100;
/* sync() tells so many changes of a conversation; if there are more, they have to be read. */
const CHANGES_BACK = 1000;

export class Chat {
  readonly conversations: Map<number, Conversation>;
  /** What is not acknowledged yet, in the order in which it is sent. */
  readonly outbox: Pending[];
  private readonly copies: Map<number, Copy>;
  private token: string | null;
  /** Beyond the token, and not returned yet: a round that fails leaves them to the next. */
  private events: ChatEvent[];
  private readonly history: number;
  private readonly pageSize: number;
  private syncing: Promise<ChatEvent[]> | null = null;
  private syncingNext: Promise<ChatEvent[]> | null = null;
  private flushing: Promise<void> | null = null;
  private readonly waiting = new Map<string, Waiting>();

  constructor(private readonly api: Api, options: ChatOptions = {}) {
    const saved: SavedState = options.state === undefined ? { token: null, conversations: [], outbox: [] } : JSON.parse(options.state);
    this.token = saved.token;
    this.outbox = saved.outbox;
    this.events = saved.events ?? [];
    this.copies = new Map(saved.conversations.map((c) => [c.conversation_id, { ...c, messages: new Map(c.messages.map((m) => [m.seq, m])) }]));
    this.conversations = this.copies;
    this.history = Math.max(1, options.history ?? 50);
    this.pageSize = options.pageSize ?? 200;
  }

  /** The whole copy as text, for the storage of the device. */
  save(): string {
    const state: SavedState = {
      token: this.token,
      conversations: [...this.copies.values()].map((c) => ({ ...c, messages: [...c.messages.values()] })),
      outbox: this.outbox,
      events: this.events,
    };
    return JSON.stringify(state);
  }

  /** The messages of a conversation in their order, without those whose time is over. */
  messages(conversation_id: number, now: number = Date.now()): Message[] {
    const copy = this.copies.get(conversation_id);
    if (copy === undefined) return [];
    return [...copy.messages.values()]
      .sort((a, b) => a.seq - b.seq)
      .map((m) => (m.expires_at !== null && Date.parse(m.expires_at) <= now ? expired(m) : m));
  }

  /** Nobody tells when a time is over: the device has it, and a clock. */
  isMuted(conversation_id: number, now: number = Date.now()): boolean {
    const until = this.copies.get(conversation_id)?.muted_until ?? null;
    return until === 'infinity' || (until !== null && Date.parse(until) > now);
  }

  /** Put away until the next message; while it is muted, also then. */
  isArchived(conversation_id: number, now: number = Date.now()): boolean {
    const copy = this.copies.get(conversation_id);
    const seq = copy?.archived_seq ?? null;
    return copy !== undefined && seq !== null && (seq >= copy.last_seq || this.isMuted(conversation_id, now));
  }

  /**
   * Brings the copy up to date and returns what came besides conversations. Call it at
   * the start, after every reconnection, and when an event says that there is something:
   * a round that is under way may have passed it, so another one follows it.
   */
  sync(): Promise<ChatEvent[]> {
    if (this.syncing === null) return (this.syncing = this.wholeRound());
    this.syncingNext ??= this.syncing.catch(() => []).then(() => {
      this.syncingNext = null;
      return this.sync();
    });
    return this.syncingNext;
  }

  private async wholeRound(): Promise<ChatEvent[]> {
    try {
      await this.round();
      return this.events.splice(0);
    } finally {
      this.syncing = null;
    }
  }

  private async round(): Promise<void> {
    const listed = new Set<number>();
    let since = this.token;
    let page: SyncPage;
    do {
      page = await this.api.get<SyncPage>('/v1/sync', { since, page_size: this.pageSize });
      if (page.reset && !this.events.some((event) => event.kind === 'reset')) this.events.push({ kind: 'reset' });
      for (const item of page.items) {
        if (item.kind === 'conversation') {
          this.takeConversation(item, page.reset);
          listed.add(item.conversation_id);
        } else if (item.kind === 'message' || item.kind === 'change') this.takeMessage(item);
        else {
          if (item.kind === 'gone') this.copies.delete(item.conversation_id);
          this.events.push(item as unknown as ChatEvent);
        }
      }
      since = page.next;
      // Whoever is cut off goes on here; a list of all conversations begins anew.
      if (!page.reset || !page.more) this.token = since;
    } while (page.more);
    if (page.reset) {
      for (const id of [...this.copies.keys()]) if (!listed.has(id)) this.copies.delete(id);
    }
    for (const copy of [...this.copies.values()]) await this.complete(copy);
  }

  private takeConversation(item: { [key: string]: Json }, stale: boolean): void {
    const { kind: _kind, hidden, ...numbers } = item as unknown as Omit<Conversation, 'messages' | 'first_seq'> & { kind: string; hidden: number[] | null };
    const known = this.copies.get(numbers.conversation_id);
    if (known !== undefined && (known.view_seq ?? null) !== numbers.view_seq) {
      known.messages.clear();
      known.first_seq = known.next_seq = 0;
    }
    const copy: Copy = known !== undefined ? Object.assign(known, numbers) : { ...numbers, messages: new Map(), first_seq: 0, next_seq: 0, seen_change: 0, stale: false };
    this.copies.set(numbers.conversation_id, copy);
    copy.stale ||= stale;
    this.forget(copy, copy.joined_seq);
    for (const seq of hidden ?? []) {
      const message = copy.messages.get(seq);
      if (message !== undefined) copy.messages.set(seq, { ...blank(message), state: 'hidden' });
    }
  }

  /** Cleared, left and joined again, or no longer kept: what one may read begins after seq. */
  private forget(copy: Copy, seq: number): void {
    copy.joined_seq = Math.max(copy.joined_seq, seq);
    for (const old of [...copy.messages.keys()]) if (old <= seq) copy.messages.delete(old);
    if (copy.first_seq > 0) copy.first_seq = Math.max(copy.first_seq, seq + 1);
    copy.next_seq = Math.max(copy.next_seq, copy.first_seq);
  }

  private takeMessage(item: { [key: string]: Json }): void {
    const { kind, conversation_id, change_seq: _change, ...message } = item as unknown as Message & { kind: string; conversation_id: number; change_seq?: number };
    const copy = this.copies.get(conversation_id);
    if (copy === undefined) return;
    if (kind === 'change') {
      // A change of what the copy does not go back to is nothing to it.
      if (copy.messages.has(message.seq)) copy.messages.set(message.seq, message);
      return;
    }
    if (message.seq > copy.joined_seq && (copy.first_seq === 0 || message.seq >= copy.first_seq)) copy.messages.set(message.seq, message);
  }

  /** Reads what the numbers of a conversation say is missing. */
  private async complete(copy: Copy): Promise<void> {
    try {
      if (copy.first_seq === 0) {
        const { items } = await this.page(copy, { page_size: Math.min(this.history, PAGE) });
        for (const message of items) copy.messages.set(message.seq, message);
        copy.first_seq = copy.next_seq = Math.min(...items.map((m) => m.seq), copy.last_seq + 1);
        while (copy.last_seq - copy.first_seq + 1 < this.history && (await this.older(copy)));
      } else if (copy.change_seq > copy.seen_change && (copy.stale || copy.change_seq - copy.seen_change > CHANGES_BACK)) await this.changes(copy);
      for (; copy.next_seq <= copy.last_seq; copy.next_seq++) {
        if (copy.messages.has(copy.next_seq)) continue;
        const { items } = await this.page(copy, { after_seq: copy.next_seq - 1, page_size: PAGE });
        for (const message of items) copy.messages.set(message.seq, message);
        // A page without a gap that begins later: the history does.
        const begin = items[0]?.seq ?? 0;
        if (begin > copy.next_seq) this.forget(copy, begin - 1);
        if (!copy.messages.has(copy.next_seq)) throw new Error(`message ${copy.next_seq} of conversation ${copy.conversation_id} is missing`);
      }
      copy.seen_change = copy.change_seq;
      copy.stale = false;
    } catch (error) {
      // Left, closed or blocked since: the next sync says so.
      if (!(error instanceof ApiError && error.code === 'not_found')) throw error;
    }
  }

  /** Reads further back; false at the beginning. */
  async older(conversation: Conversation): Promise<boolean> {
    const copy = this.copies.get(conversation.conversation_id);
    if (copy === undefined || copy.first_seq <= copy.joined_seq + 1) return false;
    const { items } = await this.page(copy, { before_seq: copy.first_seq, page_size: PAGE });
    for (const message of items) copy.messages.set(message.seq, message);
    copy.first_seq = Math.min(copy.first_seq, ...items.map((m) => m.seq));
    if (items.length === 0) this.forget(copy, copy.first_seq - 1);
    return items.length > 0;
  }

  private page(copy: Copy, query: { [name: string]: number }): Promise<{ items: Message[] }> {
    return this.api.get<{ items: Message[] }>(`/v1/conversations/${copy.conversation_id}/messages`, query);
  }

  private async changes(copy: Copy): Promise<void> {
    for (let after = copy.seen_change; ; ) {
      const { items } = await this.api.get<{ items: (Message & { change_seq: number })[] }>(
        `/v1/conversations/${copy.conversation_id}/changes`, { after_change: after, page_size: PAGE });
      for (const { change_seq, ...message } of items) {
        if (copy.messages.has(message.seq)) copy.messages.set(message.seq, message);
        after = change_seq;
      }
      if (items.length === 0) return;
    }
  }

  /**
   * Puts a message into the outbox and sends what is there. It is named once, so that it is
   * stored once, also when the app ends in between and a later one calls flush().
   */
  send(conversation_id: number, body: string, attrs: { [key: string]: Json } | null = null): Promise<Sent> {
    const pending: Pending = { conversation_id, client_id: newId(), body, attrs };
    const sent = new Promise<Sent>((resolve, reject) => this.waiting.set(pending.client_id, { resolve, reject }));
    this.outbox.push(pending);
    // Who waits for the message hears of it; what is left stays in the outbox.
    this.flush().catch(() => {});
    return sent;
  }

  /** Sends what is in the outbox, in its order; what is refused for good leaves it, and send() says why. */
  flush(): Promise<void> {
    return (this.flushing ??= this.drain());
  }

  private async drain(): Promise<void> {
    try {
      for (let first = this.outbox[0]; first !== undefined; first = this.outbox[0]) await this.post(first);
    } finally {
      // In the same turn as the last look at the outbox: what comes later begins anew.
      this.flushing = null;
    }
  }

  private async post(pending: Pending): Promise<void> {
    const { conversation_id, client_id, body, attrs } = pending;
    let settle: (waits: Waiting) => void;
    try {
      const sent = await this.api.request<Sent>('POST', `/v1/conversations/${conversation_id}/messages`, {
        client_id, body, ...(attrs === null ? {} : { attrs }),
      });
      settle = (waits) => waits.resolve(sent);
    } catch (error) {
      if (!(error instanceof ApiError) || error.isTemporary || error.problem.status === 401) throw error;
      settle = (waits) => waits.reject(error);
    }
    const waits = this.waiting.get(client_id);
    this.outbox.shift();
    this.waiting.delete(client_id);
    if (waits !== undefined) settle(waits);
  }

  /** The mark only grows, here and there. */
  async markRead(conversation_id: number, seq: number): Promise<void> {
    await this.api.request('PUT', `/v1/conversations/${conversation_id}/read`, { seq });
    const copy = this.copies.get(conversation_id);
    if (copy === undefined || seq <= copy.read_seq) return;
    copy.read_seq = seq;
    copy.unread = copy.last_seq - Math.max(copy.read_seq, copy.joined_seq);
  }
}

function blank(message: Message): Message {
  return { ...message, body: null, attrs: null, edited_at: null, expires_at: null, reactions: [] };
}

function expired(message: Message): Message {
  return { ...blank(message), state: 'expired' };
}

/** A name that no other message of the sender has. */
function newId(): string {
  const known = (globalThis as { crypto?: { randomUUID?: () => string } }).crypto?.randomUUID?.();
  if (known !== undefined) return known;
  return Array.from({ length: 4 }, () => Math.floor(Math.random() * 2 ** 32).toString(36)).join('-');
}
