import { ERRORS } from '../../protocol/errors.ts';
import type { RpcMethod } from './method.ts';

/** The parts of a valibot schema or action that a JSON Schema can say. */
interface Node {
  readonly kind: string;
  readonly type: string;
  readonly pipe?: readonly Node[];
  readonly entries?: Readonly<Record<string, Node>>;
  readonly item?: Node;
  readonly wrapped?: Node;
  readonly value?: Node;
  readonly default?: unknown;
  readonly options?: readonly unknown[];
  readonly literal?: unknown;
  readonly requirement?: unknown;
  readonly description?: string;
}

export type JsonSchema = Record<string, unknown>;

/** JSON Schema (draft 7, as OpenRPC wants it) of the valibot schemas that the method table uses. */
export function jsonSchema(schema: unknown): JsonSchema {
  const node = schema as Node;
  const base = bare(node);
  for (const step of node.pipe?.slice(1) ?? []) Object.assign(base, refined(step, base));
  return base;
}

function bare(node: Node): JsonSchema {
  switch (node.type) {
    case 'string':
    case 'boolean':
    case 'number':
      return { type: node.type };
    case 'array':
      return { type: 'array', items: jsonSchema(node.item) };
    case 'object':
    case 'strict_object': {
      const entries = Object.entries(node.entries ?? {});
      const required = entries.filter(([, entry]) => !isOptional(entry)).map(([name]) => name);
      return {
        type: 'object',
        properties: Object.fromEntries(entries.map(([name, entry]) => [name, jsonSchema(entry)])),
        ...(required.length > 0 && { required }),
        ...(node.type === 'strict_object' && { additionalProperties: false }),
      };
    }
    case 'record':
      return { type: 'object', additionalProperties: jsonSchema(node.value) };
    case 'nullable': {
      const { description, ...inner } = jsonSchema(node.wrapped);
      return { anyOf: [inner, { type: 'null' }], ...(description !== undefined && { description }) };
    }
    case 'optional': {
      const inner = jsonSchema(node.wrapped);
      return node.default === undefined ? inner : { ...inner, default: node.default };
    }
    case 'picklist':
      return { enum: node.options };
    case 'literal':
      return { const: node.literal };
    case 'union':
      return { anyOf: node.options?.map(jsonSchema) };
    default:
      return {};
  }
}

function refined(step: Node, base: JsonSchema): JsonSchema {
  const array = base.type === 'array';
  switch (step.type) {
    case 'description':
      return { description: step.description };
    case 'integer':
    case 'safe_integer':
      return { type: 'integer' };
    case 'min_value':
      return { minimum: step.requirement };
    case 'max_value':
      return { maximum: step.requirement };
    case 'min_length':
      return { [array ? 'minItems' : 'minLength']: step.requirement };
    case 'max_length':
      return { [array ? 'maxItems' : 'maxLength']: step.requirement };
    default:
      return {};
  }
}

const isOptional = (node: Node): boolean => node.type === 'optional' || node.pipe?.[0]?.type === 'optional';

/** The OpenRPC 1.3 document of the methods that this daemon offers. */
export function openRpc(methods: readonly RpcMethod[], version: string): Record<string, unknown> {
  return {
    openrpc: '1.3.2',
    info: {
      title: 'Presage',
      version,
      description: 'Local RPC of a Presage PoP: HTTP POST /rpc, JSON-RPC 2.0.',
    },
    methods: methods.map((method) => {
      const { properties = {}, required = [] } = jsonSchema(method.params) as {
        properties?: Record<string, JsonSchema>;
        required?: string[];
      };
      return {
        name: method.name,
        summary: method.summary,
        paramStructure: 'either',
        params: Object.entries(properties).map(([name, schema]) => ({
          name,
          required: required.includes(name),
          ...(typeof schema.description === 'string' && { description: schema.description }),
          schema,
        })),
        result: { name: `${method.name} result`, schema: jsonSchema(method.result) },
      };
    }),
    components: {
      errors: Object.fromEntries(
        Object.entries(ERRORS).map(([code, [meaning, remedy]]) => [
          code,
          { code: -32_000, message: meaning, data: { code, remedy } },
        ]),
      ),
    },
  };
}
