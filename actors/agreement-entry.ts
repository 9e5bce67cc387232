import { type AgreementDeps, type AgreementMessage, agreementSpec } from './agreement.ts';
import type { ActorContext, ActorSpec, Behaviour } from './kernel/actor.ts';

/**
 * Takes part in the agreement as soon as there is somebody to agree with: `deps` is undefined until founders are known.
 * A PoP that was not given their list starts without, and enters when a peer has told it.
 */
export function agreementEntrySpec(deps: () => AgreementDeps | undefined): ActorSpec<AgreementMessage> {
  return {
    name: 'agreement',
    mailbox: { capacity: 256, overflow: 'refuse' },
    create: async (context) => {
      const entry = new Entry(deps, context);
      await entry.enter();
      return entry;
    },
  };
}

class Entry implements Behaviour<AgreementMessage> {
  readonly #deps: () => AgreementDeps | undefined;
  readonly #context: ActorContext<AgreementMessage>;
  #agreement: Behaviour<AgreementMessage> | undefined;

  constructor(deps: () => AgreementDeps | undefined, context: ActorContext<AgreementMessage>) {
    this.#deps = deps;
    this.#context = context;
  }

  async enter(): Promise<void> {
    const deps = this.#agreement ? undefined : this.#deps();
    if (deps) this.#agreement = await agreementSpec(deps).create(this.#context);
  }

  receive(message: AgreementMessage): void | Promise<void> {
    if (message.type === 'enter') return this.enter();
    if (this.#agreement) return this.#agreement.receive(message);
    // There is nobody to be told of it.
    if (message.type === 'leave') message.reply.ok();
  }

  stop(): void | Promise<void> {
    return this.#agreement?.stop?.();
  }
}
