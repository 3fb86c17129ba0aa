import type { BfdEngine, BfdEngineSession } from './engine.ts';
import type { FromBfdWorker, ToBfdWorker } from './worker-messages.ts';

/**
 * Carries out what the owner of a worker asks of the engine in it: the shell around the engine in worker.ts, and in any
 * other worker that wants to have one. Gives a function for the owner's messages; it resolves when one is carried out.
 */
export function serveEngine(
  engine: BfdEngine,
  post: (message: FromBfdWorker) => void,
): (message: ToBfdWorker) => Promise<void> {
  const sessions = new Map<number, BfdEngineSession>();
  return async (message) => {
    switch (message.kind) {
      case 'add': {
        const { session, options } = message;
        sessions.set(
          session,
          engine.addSession(options, (event) => post({ kind: 'event', session, event })),
        );
        return;
      }
      case 'configure':
        sessions.get(message.session)?.configure(message.change);
        return;
      case 'admin-down':
        sessions.get(message.session)?.setAdminDown(message.adminDown);
        return;
      case 'remove': {
        const session = sessions.get(message.session);
        sessions.delete(message.session);
        await session?.remove();
        post({ kind: 'reply', request: message.request, answer: undefined });
        return;
      }
      case 'status':
        post({ kind: 'reply', request: message.request, answer: sessions.get(message.session)?.status() });
        return;
      case 'engine-status':
        post({ kind: 'reply', request: message.request, answer: engine.status() });
        return;
      case 'close':
        sessions.clear();
        await engine.close();
        post({ kind: 'reply', request: message.request, answer: undefined });
        return;
    }
  };
}
