import { attempt } from './dom.js';
import { startChat } from './chat.js';
import { startChats } from './chats.js';
import { startLive } from './live.js';
import { startPhones } from './phones.js';
import { startRouting } from './route.js';
import { startScan } from './scan.js';
import { loadPhones, lookAtChat } from './store.js';
import { startTools } from './tools.js';

startPhones();
startChats();
startChat();
startTools();
startLive();
document.addEventListener('visibilitychange', () => attempt(lookAtChat));
await attempt(loadPhones);
await startRouting();
startScan();
