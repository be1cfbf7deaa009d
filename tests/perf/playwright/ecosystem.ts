// Written by `ecoload export-playwright` from targets.yaml and scenarios/browser: change those, and write it again.

export type App = 'a1' | 'a5' | 'a7' | 'a8';

export interface Flow {
  readonly about: string;
  readonly apps: Readonly<Partial<Record<App, 'read' | 'write'>>>;
  readonly timeoutMs: number;
  readonly steps: readonly { readonly name: string; readonly withinMs: number | null }[];
}

interface Place {
  readonly variable: string;
  readonly url: string;
  readonly hosts: readonly string[];
}

interface Ecosystem {
  readonly namespace: string;
  readonly apps: Readonly<Record<App, Place>>;
  readonly deny: readonly string[];
  readonly flows: Readonly<Record<string, Flow>>;
}

export const ecosystem: Ecosystem = {
  namespace: 'perf_test',
  apps: {
    a1: { variable: 'A1_URL', url: '', hosts: ['127.0.0.1', '[::1]', 'localhost'] },
    a5: { variable: 'A5_URL', url: '', hosts: ['127.0.0.1', '[::1]', 'localhost'] },
    a7: { variable: 'A7_URL', url: '', hosts: ['127.0.0.1', '[::1]', 'localhost'] },
    a8: { variable: 'A8_URL', url: '', hosts: ['127.0.0.1', '[::1]', 'localhost'] },
  },
  deny: ['POST /v1/charges', 'POST /v1/charges/*/capture', 'POST /mock/stripe/v1/charges', 'POST /mock/stripe/v1/payment_intents/*/capture'],
  flows: {
    a5_doc_a4_outcomes: {
      about: 'A student hands in a document, A4 assesses it, and A8\'s outcomes tile shows the outcome within 60 s.',
      apps: { a5: 'write', a1: 'write', a8: 'read' },
      timeoutMs: 150000,
      steps: [
        { name: 'the student signs in by A1', withinMs: null },
        { name: 'the document is taken', withinMs: null },
        { name: 'A4 has assessed it', withinMs: 60000 },
        { name: 'A8 lists the event', withinMs: 60000 },
        { name: 'the outcomes tile shows the outcome', withinMs: 60000 },
      ],
    },
    a5_signup_oidc_crm: {
      about: 'Somebody signs up at A5, gets an account at A1 and a CRM record, and A8\'s growth tile shows it within 60 s.',
      apps: { a5: 'write', a1: 'write', a8: 'read' },
      timeoutMs: 150000,
      steps: [
        { name: 'the sign-up form leads to A1', withinMs: null },
        { name: 'A1 makes the account and leads back', withinMs: null },
        { name: 'A5 shows the CRM record', withinMs: null },
        { name: 'A8 lists the event', withinMs: 60000 },
        { name: 'the growth tile shows the sign-up', withinMs: 60000 },
      ],
    },
    a7_pages_cta: {
      about: 'A7\'s pages load as people need them to, the call to action is seen, and A8 shows the impression within 60 s.',
      apps: { a7: 'write', a8: 'read' },
      timeoutMs: 150000,
      steps: [
        { name: 'the first page loads', withinMs: null },
        { name: 'the pages to browse load', withinMs: null },
        { name: 'a state and a scholarship load', withinMs: null },
        { name: 'the call to action is emitted', withinMs: null },
        { name: 'A8 lists the impression', withinMs: 60000 },
        { name: 'the growth tile shows the impression', withinMs: 60000 },
      ],
    },
  },
};
