/** The demand clock of a run: demand time = `offset` + `speed` × real time, both in Unix ms. */
export interface DemandTime {
  readonly offset: number;
  readonly speed: number;
}

/** The clock that shows `demandAt` at the real time `realAt`. */
export const demandTime = (demandAt: number, realAt: number, speed: number): DemandTime => ({
  offset: Math.round(demandAt - speed * realAt),
  speed,
});

export const demandNow = (time: DemandTime, realNow: number): number =>
  Math.round(time.offset + time.speed * realNow);

/** Real time (Unix ms) at which the demand clock shows `demandAt`. */
export const realAt = (time: DemandTime, demandAt: number): number => (demandAt - time.offset) / time.speed;
