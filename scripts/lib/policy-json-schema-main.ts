// SPDX-License-Identifier: LGPL-2.1-or-later
/** policy-json-schema-main.js: writes packaging/policy.schema.json anew, after a change of schemas/policy.ts. */
import { writeFileSync } from 'node:fs';

import { POLICY_JSON_SCHEMA, policyJsonSchema } from './policy-json-schema.js';

writeFileSync(POLICY_JSON_SCHEMA, await policyJsonSchema());
