import { createHash } from 'node:crypto';
import { Script } from 'node:vm';
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
