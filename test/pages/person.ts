/** A person with the example application: what they click and type, on as many devices as they like. */

import type { Browser, CDPSession, Locator } from 'playwright-core';
import { Visit, type VisitOptions } from './browser.ts';

export class Phone implements AsyncDisposable {
  readonly visit: Visit;
  #authenticators: CDPSession | undefined;
  #authenticator: string | undefined;

  private constructor(visit: Visit) {
    this.visit = visit;
  }

  /** A device that has never seen the application. */
  static async fresh(browser: Browser, address: string, options: VisitOptions = {}): Promise<Phone> {
    return new Phone(await Visit.to(browser, address, options));
  }

  get page() {
    return this.visit.page;
  }

  /** Whether a view with this heading shows. */
  async see(heading: string): Promise<void> {
    await this.page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor();
  }

  async text(words: string | RegExp): Promise<void> {
    await this.page.getByText(words).first().waitFor();
  }

  async press(name: string | RegExp): Promise<void> {
    await this.page
      .getByRole('button', { name, exact: typeof name === 'string' })
      .first()
      .click();
  }

  field(label: string): Locator {
    return this.page.getByLabel(label, { exact: true });
  }

  async fill(label: string, value: string): Promise<void> {
    await this.field(label).fill(value);
  }

  async signIn(name: string): Promise<void> {
    await this.see('Notes that only you can read');
    await this.fill('Your name', name);
    await this.press('Continue');
  }

  async write(note: string): Promise<void> {
    await this.see('Your notes');
    await this.fill('A new note', note);
    await this.press('Keep this note');
    await this.page.locator('.note', { hasText: note }).waitFor();
    // It shows before it is backed up: another device finds it only then.
    await this.page.locator('button[aria-disabled]').waitFor({ state: 'detached' });
  }

  /** Turns the backup on as far as the recovery code. */
  async turnOn(pin: string): Promise<void> {
    await this.press('Turn on backup');
    await this.see('Choose a PIN');
    await this.fill('New PIN', pin);
    await this.fill('The same again', pin);
    await this.press('Turn on backup');
    await this.see('Your recovery code');
  }

  /** Writes the code down and confirms it. */
  async keepCode(): Promise<string[]> {
    await this.page.locator('.code li').first().waitFor();
    const groups = await this.page
      .locator('.code li')
      .evaluateAll((items) => items.map((one) => one.lastChild!.textContent!));
    await this.press('I have written it down');
    await this.see('Check your paper');
    await this.confirm(groups);
    return groups;
  }

  async confirm(groups: readonly string[]): Promise<void> {
    for (const label of await this.page.locator('main label').allTextContents()) {
      await this.fill(label, groups[Number(label.replace('Group ', '')) - 1]!);
    }
    await this.press('Confirm');
  }

  async manage(): Promise<void> {
    await this.press('Backup and recovery');
    await this.see('Backup and recovery');
  }

  async ways(): Promise<string[]> {
    return await this.page.locator('.way h2').allTextContents();
  }

  /** An authenticator inside the device: CTAP 2.1 with the PRF extension, or without. */
  async addAuthenticator(hasPrf = true): Promise<void> {
    this.#authenticators ??= await this.page.context().newCDPSession(this.page);
    await this.#authenticators.send('WebAuthn.enable');
    const options = {
      protocol: 'ctap2',
      ctap2Version: 'ctap2_1',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      hasPrf,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    } as const;
    const { authenticatorId } = await this.#authenticators.send('WebAuthn.addVirtualAuthenticator', { options });
    this.#authenticator = authenticatorId;
  }

  /** The passkeys that it holds, as a synchronised account would carry them to another device. */
  async passkeys() {
    const session = this.#authenticators!;
    return (await session.send('WebAuthn.getCredentials', { authenticatorId: this.#authenticator! })).credentials;
  }

  async removeAuthenticator(): Promise<void> {
    await this.#authenticators!.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId: this.#authenticator! });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.visit[Symbol.asyncDispose]();
  }
}
