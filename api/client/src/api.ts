/* Requests: a session that renews itself, errors as they are documented, retries that do nothing twice. */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface Tokens {
  access_token: string;
  refresh_token: string;
}

/** The body of an error, application/problem+json; `GET /v1/errors` lists the codes. */
export interface Problem {
  status: number;
  code: string;
  title: string;
  detail?: string;
  hint?: string;
}

/** An answer of 400 or more. */
export class ApiError extends Error {
  constructor(readonly problem: Problem, readonly retryAfterMs: number | null) {
    super(problem.detail ?? problem.title);
    this.name = 'ApiError';
  }

  get code(): string {
    return this.problem.code;
  }

  /** Whether the same request may succeed later. */
  get isTemporary(): boolean {
    const { status } = this.problem;
    return status === 408 || status === 429 || status >= 500;
  }
}

export interface ApiOptions {
  url: string;
  tokens?: Tokens | null;
  /** Called with every new pair, and with null when the session has ended: keep them. */
  onTokens?: (tokens: Tokens | null) => void;
  /** How often a request is tried at most, the first time included. */
  attempts?: number;
  /** The wait before the second attempt; it doubles with each. */
  firstWaitMs?: number;
  timeoutMs?: number;
  fetch?: typeof fetch;
}

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

export class Api {
  tokens: Tokens | null;
  private readonly options: Required<Omit<ApiOptions, 'tokens'>>;
  private refreshing: Promise<boolean> | null = null;

  constructor(options: ApiOptions) {
    this.tokens = options.tokens ?? null;
    this.options = {
      onTokens: () => {},
      attempts: 5,
      firstWaitMs: 250,
      timeoutMs: 30000,
      fetch: (input, init) => fetch(input, init),
      ...options,
      url: options.url.replace(/\/+$/, ''),
    };
  }

  get<T = Json>(path: string, query: { [name: string]: string | number | boolean | null | undefined } = {}): Promise<T> {
    const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
    const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
    return this.request<T>('GET', text === '' ? path : `${path}?${text}`);
  }

  async signIn(email: string, password: string): Promise<void> {
    this.keep(await this.request<Tokens>('POST', '/v1/sign-in', { email, password }));
  }

  async signOut(): Promise<void> {
    await this.request('DELETE', '/v1/sessions/current');
    this.keep(null);
  }

  /**
   * One request, tried again after what passes: no connection, 408, 429, 5xx. What writes must
   * bear that: give it a key, the Idempotency-Key, or a client_id as sending a message does.
   */
  async request<T = Json>(method: string, path: string, body?: unknown, key?: string): Promise<T> {
    for (let attempt = 1, renewed = false; ; attempt++) {
      const used = this.tokens;
      try {
        return await this.once<T>(method, path, body, key);
      } catch (error) {
        if (error instanceof ApiError && error.code === 'expired_token' && !renewed && (await this.renew(used))) {
          renewed = true;
          continue;
        }
        if ((error instanceof ApiError && !error.isTemporary) || attempt >= this.options.attempts) throw error;
        const asked = error instanceof ApiError ? error.retryAfterMs : null;
        // Spread, so that many clients do not come back at once.
        await sleep(asked ?? this.options.firstWaitMs * 2 ** (attempt - 1) * (0.5 + Math.random()));
      }
    }
  }

  private async once<T>(method: string, path: string, body: unknown, key: string | undefined): Promise<T> {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), this.options.timeoutMs);
    const headers: Record<string, string> = { Accept: 'application/json' };
    if (this.tokens !== null) headers['Authorization'] = `Bearer ${this.tokens.access_token}`;
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (key !== undefined) headers['Idempotency-Key'] = key;
    try {
      const answer = await this.options.fetch(this.options.url + path, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        signal: abort.signal,
      });
      const text = await answer.text();
      if (answer.ok) return (text === '' ? null : JSON.parse(text)) as T;
      throw new ApiError(problemOf(answer.status, text), retryAfterMs(answer.headers.get('Retry-After')));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Other tokens than those used, by one request for all who wait for it; false when the session has ended. */
  private async renew(used: Tokens | null): Promise<boolean> {
    if (this.tokens !== null && this.tokens !== used) return true;
    this.refreshing ??= this.refresh().finally(() => {
      this.refreshing = null;
    });
    return this.refreshing;
  }

  private async refresh(): Promise<boolean> {
    const old = this.tokens;
    if (old === null) return false;
    // The token that has expired would be refused here too.
    this.tokens = null;
    try {
      this.keep(await this.request<Tokens>('POST', '/v1/sessions/refresh', { refresh_token: old.refresh_token }));
      return true;
    } catch (error) {
      if (error instanceof ApiError && !error.isTemporary) {
        this.keep(null);
        return false;
      }
      this.tokens = old;
      throw error;
    }
  }

  private keep(tokens: Tokens | null): void {
    this.tokens = tokens === null ? null : { access_token: tokens.access_token, refresh_token: tokens.refresh_token };
    this.options.onTokens(this.tokens);
  }
}

function problemOf(status: number, text: string): Problem {
  try {
    const problem = JSON.parse(text) as Problem;
    if (typeof problem.code === 'string') return { ...problem, status };
  } catch {
    // A proxy's page, say.
  }
  return { status, code: 'unknown', title: `an answer of status ${status}` };
}

function retryAfterMs(header: string | null): number | null {
  const seconds = header === null ? NaN : Number(header);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null;
}
