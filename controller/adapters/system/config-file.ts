// SPDX-License-Identifier: LGPL-2.1-or-later
import { DaemonConfig } from '../../../schemas/config.js';
import { XenAudioError } from '../../util/errors.js';
import { parseYaml, readTextFile } from './yaml-file.js';

/** Where the configuration is looked for when no file is named. */
export const DEFAULT_CONFIG_PATH = '/etc/xen-audio/xen-audiod.yaml';

/**
 * Reads the configuration. Without a path, a default file that is absent gives the defaults.
 * @throws XenAudioError `config`, one line per fault: `path:line:col: key: expected …, found …`
 */
export const readConfigFile = async (path: string | undefined): Promise<DaemonConfig> => {
  const file = path ?? DEFAULT_CONFIG_PATH;
  const text = await readTextFile(file);
  if (text === undefined && path !== undefined)
    throw new XenAudioError('config', `${file}: cannot be read: there is no such file`);
  return parseConfig(file, text ?? '');
};

/** Checks a configuration's text; `file` is its name in messages. Throws as `readConfigFile`. */
export const parseConfig = (file: string, text: string): DaemonConfig =>
  parseYaml(DaemonConfig, file, text).value;
