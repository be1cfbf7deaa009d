// Tells ecoload what happens as it happens: a line of JSON on standard output for each thing.

import type { FullResult, Reporter, TestCase, TestError, TestResult, TestStep } from '@playwright/test/reporter';

export default class Progress implements Reporter {
  onTestBegin(test: TestCase, result: TestResult): void {
    tell({ event: 'begin', flow: test.title, at_ms: result.startTime.getTime() });
  }

  onStepBegin(_: TestCase, __: TestResult, step: TestStep): void {
    if (step.category === 'test.step') tell({ event: 'step', name: step.title, at_ms: step.startTime.getTime() });
  }

  onStepEnd(_: TestCase, __: TestResult, step: TestStep): void {
    if (step.category !== 'test.step') return;
    tell({ event: 'step_end', name: step.title, took_ms: step.duration, error: step.error && told(step.error) });
  }

  onTestEnd(test: TestCase, result: TestResult): void {
    tell({
      event: 'end',
      flow: test.title,
      status: result.status,
      took_ms: result.duration,
      errors: result.errors.map(told),
      attachments: result.attachments.map(({ name, path, body }) => ({ name, path, text: body?.toString('utf8') })),
    });
  }

  onError(error: TestError): void {
    tell({ event: 'error', error: told(error) });
  }

  onEnd(result: FullResult): void {
    tell({ event: 'over', status: result.status });
  }

  printsToStdio(): boolean {
    return true;
  }
}

function told(error: TestError): string {
  return (error.message ?? error.value ?? 'unknown').replace(/\u001b\[[0-9;]*m/g, '');
}

function tell(what: object): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}
