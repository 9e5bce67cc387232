import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** A page and the policy (CSP 3) that it is to be shown under. */
export interface Page {
  readonly html: string;
  readonly policy: string;
}

/**
 * The dashboard: one static page that loads nothing, sends nothing elsewhere and runs only the script that it was
 * written with. It holds no data; what it shows it asks the RPC for, with the token that its user gives it.
 */
export function dashboardPage(): Page {
  const html = readFileSync(new URL('./dashboard.html', import.meta.url), 'utf8');
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(html, 'script')}`,
    `style-src ${hashOf(html, 'style')}`,
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return { html, policy };
}

/** Hash of what stands between the tags, as browsers compute it. */
function hashOf(html: string, tag: string): string {
  const text = html.slice(html.indexOf(`<${tag}>`) + tag.length + 2, html.indexOf(`</${tag}>`));
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}
