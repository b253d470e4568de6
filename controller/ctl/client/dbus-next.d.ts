// SPDX-License-Identifier: LGPL-2.1-or-later
/// <reference types="dbus-next" />

/** The package goes by the name of the project that it continues; its types know only its own. */
declare module 'dbus-next' {
  export * from '@particle/dbus-next';
}
