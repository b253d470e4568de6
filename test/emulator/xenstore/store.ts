// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * The tree of nodes. Nodes never change: an edit makes new ones along its path, so that a transaction's snapshot is
 * the root it started from.
 */
import { childOf, segments } from './paths.js';
import { ownedBy, type Permissions } from './permissions.js';

export interface StoreNode {
  /** Changes whenever the node's value, permissions or set of children does, and never comes back. */
  readonly generation: number;
  readonly value: Buffer;
  readonly permissions: Permissions;
  readonly children: ReadonlyMap<string, StoreNode>;
}

/** What can be read and changed: the store itself, or a transaction's view of it. */
export interface StoreView {
  get(path: string): StoreNode | undefined;
  /** Creates the node or replaces its content, keeping its children. Its parent must exist. */
  set(path: string, value: Buffer, permissions: Permissions): void;
  /** Removes the node and all below it. It must exist and not be the root. */
  remove(path: string): void;
}

/** One change, so that a transaction can be repeated on the store when it is committed. */
export type Edit =
  | { readonly path: string; readonly value: Buffer; readonly permissions: Permissions }
  | { readonly path: string; readonly removed: true };

/** The node at a path below this root. */
export function lookup(root: StoreNode, path: string): StoreNode | undefined {
  let node: StoreNode | undefined = root;
  for (const name of segments(path)) node = node?.children.get(name);
  return node;
}

/** Every node from this one down, parents first. */
export function* walk(node: StoreNode, path: string): Generator<[string, StoreNode]> {
  yield [path, node];
  for (const [name, child] of node.children) yield* walk(child, childOf(path, name));
}

export class Store implements StoreView {
  static #lastGeneration = 0;
  #root: StoreNode;

  constructor(root?: StoreNode) {
    this.#root = root ?? {
      generation: Store.#nextGeneration(),
      value: Buffer.alloc(0),
      permissions: ownedBy(0),
      children: new Map(),
    };
  }

  get root(): StoreNode {
    return this.#root;
  }

  get(path: string): StoreNode | undefined {
    return lookup(this.#root, path);
  }

  set(path: string, value: Buffer, permissions: Permissions): void {
    const children = this.get(path)?.children ?? new Map<string, StoreNode>();
    this.#replace(path, { generation: Store.#nextGeneration(), value, permissions, children });
  }

  remove(path: string): void {
    this.#replace(path, undefined);
  }

  apply(edit: Edit): void {
    if ('removed' in edit) this.remove(edit.path);
    else this.set(edit.path, edit.value, edit.permissions);
  }

  /** How many nodes there are, the root included. */
  countNodes(): number {
    return [...walk(this.#root, '/')].length;
  }

  #replace(path: string, node: StoreNode | undefined): void {
    const root = this.#replaced(this.#root, segments(path), 0, node);
    if (root === undefined) throw new Error('the root of the store cannot be removed');
    this.#root = root;
  }

  /** What becomes of a node when one at or below it becomes another; `names` from `depth` on lead there. */
  #replaced(
    at: StoreNode | undefined,
    names: readonly string[],
    depth: number,
    node: StoreNode | undefined,
  ): StoreNode | undefined {
    const name = names[depth];
    if (name === undefined) return node;
    if (at === undefined) throw new Error(`/${names.join('/')} has no parent: a mistake of the caller`);
    const before = at.children.get(name);
    const after = this.#replaced(before, names, depth + 1, node);
    const children = new Map(at.children);
    if (after === undefined) children.delete(name);
    else children.set(name, after);
    const isSameSet = (before === undefined) === (after === undefined);
    return { ...at, children, generation: isSameSet ? at.generation : Store.#nextGeneration() };
  }

  static #nextGeneration(): number {
    return ++Store.#lastGeneration;
  }
}
