import type { ForecastExplanation, ForecasterStatus, MadePlan } from '../../actors/forecaster.ts';
import type { InvalidatorStatus } from '../../actors/invalidator.ts';
import type { MirrorStatus } from '../../actors/mirror.ts';
import type { Trend } from '../../forecasting/trends.ts';
import type { Key16, RegionId } from '../../protocol/ids.ts';
import type { Daemon } from '../compose.ts';

/** Longest that a handler waits for an actor, real ms. */
const ASK_MS = 5_000;

type Asked = Pick<Daemon, 'actors'>;

/** What the handlers ask the actors, each with a deadline. */
export const forecasterStatus = ({ actors }: Asked) =>
  actors.forecaster.ask<ForecasterStatus>((reply) => ({ type: 'status', reply }), ASK_MS);

export const explanationOf = ({ actors }: Asked, key16: Key16) =>
  actors.forecaster.ask<ForecastExplanation>((reply) => ({ type: 'explain', key16, reply }), ASK_MS);

export const currentPlan = ({ actors }: Asked) =>
  actors.forecaster.ask<MadePlan>((reply) => ({ type: 'plan-of', reply }), ASK_MS);

export const trends = ({ actors }: Asked, limit: number, region: RegionId | undefined) =>
  actors.forecaster.ask<readonly Trend[]>((reply) => ({ type: 'trending', limit, region, reply }), ASK_MS);

export const mirrorStatus = ({ actors }: Asked) =>
  actors.mirror.ask<MirrorStatus>((reply) => ({ type: 'status', reply }), ASK_MS);

export const invalidatorStatus = ({ actors }: Asked) =>
  actors.invalidator.ask<InvalidatorStatus>((reply) => ({ type: 'status', reply }), ASK_MS);
