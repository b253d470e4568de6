// SPDX-License-Identifier: LGPL-2.1-or-later
import { join } from 'node:path';

import { format, resolveConfig } from 'prettier';
import { z } from 'zod';

import { Policy } from '../../schemas/policy.js';
import { paths } from '../../test/lib/paths.js';

/** The policy's schema for editors, made of the one that xen-audiod checks with. */
export const POLICY_JSON_SCHEMA = join(paths.root, 'packaging', 'policy.schema.json');

/**
 * What that file holds. Draft 7 is what editors know; what one setting says of another, as that a minimum is not above its
 * maximum, it cannot say.
 */
export async function policyJsonSchema(): Promise<string> {
  const { $schema, ...schema } = z.toJSONSchema(Policy, { io: 'input', target: 'draft-7' });
  const $comment = 'SPDX-License-Identifier: LGPL-2.1-or-later';
  const text = JSON.stringify({ $schema, $comment, title: '/etc/xen-audio/policy.yaml', ...schema });
  const style = await resolveConfig(POLICY_JSON_SCHEMA);
  return await format(text, { ...style, filepath: POLICY_JSON_SCHEMA });
}
