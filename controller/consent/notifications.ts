// SPDX-License-Identifier: LGPL-2.1-or-later
import { Variant } from 'dbus-next';
import { z } from 'zod';
import type { Bus, RemoteObject } from '../ctl/client/bus.js';

const SERVICE = 'org.freedesktop.Notifications';
const PATH = '/org/freedesktop/Notifications';

/** What we use of the Desktop Notifications Specification 1.2. */
const XML = `<node><interface name="${SERVICE}">
  <method name="GetCapabilities"><arg type="as" direction="out"/></method>
  <method name="Notify">
    <arg type="s" direction="in"/><arg type="u" direction="in"/><arg type="s" direction="in"/>
    <arg type="s" direction="in"/><arg type="s" direction="in"/><arg type="as" direction="in"/>
    <arg type="a{sv}" direction="in"/><arg type="i" direction="in"/><arg type="u" direction="out"/>
  </method>
  <method name="CloseNotification"><arg type="u" direction="in"/></method>
</interface></node>`;

const Names = z.array(z.string());
const Id = z.number();
const ActionInvoked = z.tuple([z.number(), z.string()]);
const OwnerChanged = z.tuple([z.string(), z.string(), z.string()]);

/** Never expires on its own. */
const FOR_EVER = 0;
const URGENCY_CRITICAL = 2;

/** What a notification says, in plain text. */
export interface Notice {
  readonly summary: string;
  readonly body: string;
  /** Stands below the body where there are no actions: how to answer otherwise. */
  readonly withoutActions: string;
  /** Keys and labels; a click on the notification itself is none of them. */
  readonly actions: readonly (readonly [string, string])[];
}

export interface NotificationEvents {
  /** The user chose an action of notification `id`. */
  chosen(id: number, action: string): void;
  /** A notification daemon has come: it knows none of the earlier notifications. */
  appeared(): void;
}

/** The desktop's notification daemon. */
export class Notifications {
  /** Counts the daemons seen: what one has shown the next does not know. */
  epoch = 0;
  #owner: string | undefined;

  private constructor(private readonly daemon: RemoteObject) {}

  /** @param bus of the session */
  static async connect(bus: Bus, events: NotificationEvents): Promise<Notifications> {
    const notifications = new Notifications(await bus.object(SERVICE, PATH, XML));
    bus.onSignal(({ sender, interface: of, member, body }) => {
      if (sender === 'org.freedesktop.DBus' && member === 'NameOwnerChanged') {
        const changed = OwnerChanged.safeParse(body);
        if (changed.data?.[0] === SERVICE) notifications.#ownerChanged(changed.data[2], events);
      } else if (sender === notifications.#owner && of === SERVICE && member === 'ActionInvoked') {
        const invoked = ActionInvoked.safeParse(body);
        if (invoked.success) events.chosen(...invoked.data);
      }
    });
    await bus.match(`sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='${SERVICE}'`);
    await bus.match(`sender='${SERVICE}',interface='${SERVICE}',member='ActionInvoked'`);
    notifications.#owner ??= await bus.ownerOf(SERVICE);
    return notifications;
  }

  /**
   * Shows a notice until it is closed. @param replaces an earlier one that it takes the place of, or 0
   * @throws DBusError when there is no notification daemon
   */
  async show(notice: Notice, replaces: number): Promise<number> {
    const capabilities = new Set(Names.parse(await this.daemon.call(SERVICE, 'GetCapabilities')));
    const hasActions = capabilities.has('actions');
    const text =
      hasActions || notice.withoutActions === '' ? notice.body : `${notice.body}\n${notice.withoutActions}`;
    const hints = {
      urgency: new Variant('y', URGENCY_CRITICAL),
      category: new Variant('s', 'device'),
      'desktop-entry': new Variant('s', 'xen-audio-consent'),
    };
    return Id.parse(
      await this.daemon.call(
        SERVICE,
        'Notify',
        'xen-audio',
        replaces,
        'audio-input-microphone',
        notice.summary,
        capabilities.has('body-markup') ? escaped(text) : text,
        hasActions ? notice.actions.flat() : [],
        hints,
        FOR_EVER,
      ),
    );
  }

  /** Closes a notification; one that is closed already may give an error. */
  async close(id: number): Promise<void> {
    await this.daemon.call(SERVICE, 'CloseNotification', id);
  }

  #ownerChanged(owner: string, events: NotificationEvents): void {
    this.epoch += 1;
    this.#owner = owner === '' ? undefined : owner;
    if (owner !== '') events.appeared();
  }
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
