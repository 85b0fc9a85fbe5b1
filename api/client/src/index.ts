export { Api, ApiError, type ApiOptions, type Json, type Problem, type Tokens } from './api.js';
export { Chat, type ChatEvent, type ChatOptions, type Conversation, type Message, type Pending, type Sent } from './chat.js';
