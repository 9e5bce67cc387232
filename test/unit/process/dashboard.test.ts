import { createHash } from 'node:crypto';
import { createContext, Script } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { dashboardPage } from '../../../node/dashboard/page.ts';
import { METHODS } from '../../../node/rpc/methods.ts';

const { html, policy } = dashboardPage();
const between = (tag: string) => new RegExp(`<${tag}>([\\s\\S]*)</${tag}>`).exec(html)?.[1] ?? '';

describe('the dashboard page', () => {
  it('runs its own script and style under its policy, and nothing else', () => {
    for (const [tag, directive] of [
      ['script', 'script-src'],
      ['style', 'style-src'],
    ] as const) {
      const hash = createHash('sha256').update(between(tag)).digest('base64');
      expect(policy).toContain(`${directive} 'sha256-${hash}';`);
      expect(html.split(`<${tag}`)).toHaveLength(2);
    }
    expect(policy).toContain("default-src 'none'");
    expect(html).not.toMatch(/\son[a-z]+=|\sstyle=|<(link|img|iframe)\b|https?:\/\//);
  });

  it('has a script that compiles, writes no markup and asks for methods that exist', () => {
    const script = between('script');
    expect(() => new Script(script)).not.toThrow();
    expect(script).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/);
    const asked = [...script.matchAll(/call\('([a-z.]+)'/g)].map((match) => match[1] ?? '');
    expect(asked).toContain('status');
    for (const method of asked) expect(Object.keys(METHODS)).toContain(method);
    for (const [, id] of script.matchAll(/(?:\$|fill)\('([a-z]+)'/g)) expect(html).toContain(`id="${id}"`);
  });
});

describe('the agreement on the page', () => {
  /** As much of a document as the page writes to. */
  class Element {
    textContent = '';
    className = '';
    title = '';
    children: Element[] = [];
    append(...made: Element[]) {
      this.children.push(...made);
    }
    replaceChildren(...made: Element[]) {
      this.children = made;
    }
    readonly addEventListener = () => undefined;
    get text(): string {
      return [this.textContent, ...this.children.map(({ text }) => text)].filter(Boolean).join(' ');
    }
  }
  const elements = new Map<string, Element>();
  const elementOf = (id: string) => {
    const known = elements.get(id) ?? new Element();
    elements.set(id, known);
    return known;
  };
  const page = createContext({
    document: { getElementById: elementOf, createElement: () => new Element() },
    location: { hash: '' },
    sessionStorage: { getItem: () => null, removeItem: () => undefined },
    URLSearchParams,
  });
  new Script(between('script')).runInContext(page);
  const show = page as unknown as {
    showAgreement(status: { mode: string; agreement: object | null }): void;
    showMembers(peers: readonly object[]): void;
  };
  const agreement = {
    ...{ height: 1234, header: 'a1'.repeat(32), stateHash: 'b2'.repeat(32), planHash: 'c3'.repeat(32) },
    ...{ planHeight: 1234, included: 4, members: 5, member: true, voting: true },
    ...{ degraded: false, diverged: false, passive: false, rules: 1, charterVersion: 2 },
    ...{ weight: 0.9, resources: 459, stateBytes: 27_742 },
  };

  it('shows height, mode and the hashes of header, state and plan', () => {
    show.showAgreement({ mode: 'agreed', agreement });
    expect(elementOf('agreement').text).toBe('agreed. 4 of 5 proposals counted at the last height.');
    const shown = elementOf('decided').text;
    for (const part of ['1,234', agreement.header, agreement.stateHash, agreement.planHash]) {
      expect(shown).toContain(part);
    }
  });

  it('says what keeps the PoP from agreeing, and that the plan is its own', () => {
    show.showAgreement({ mode: 'degraded', agreement: { ...agreement, degraded: true, planHash: null } });
    expect(elementOf('agreement')).toMatchObject({ className: 'bad' });
    expect(elementOf('agreement').text).toContain('Nothing was decided for three epochs');
    expect(elementOf('decided').text).toContain('from the own forecasts');
    show.showAgreement({ mode: 'degraded', agreement: null });
    expect([elementOf('agreement').text, elementOf('decided').text]).toEqual([
      'degraded. No list of founders is known here, so that nothing is agreed on.',
      '',
    ]);
  });

  it('lists the members with what their forecasts count', () => {
    show.showMembers([
      { name: 'asia', member: true, weight: 0.993, missed: 0 },
      { name: 'europe', member: true, weight: 0.001, missed: 7 },
      { name: 'visitor', member: false, weight: null, missed: null },
    ]);
    const shown = elementOf('members').text;
    expect(shown).toContain('asia 0.993 0 ██████████ europe 0.001 7');
    expect(shown).not.toContain('visitor');
  });
});
