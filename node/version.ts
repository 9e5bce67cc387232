import packageFile from '../package.json' with { type: 'json' };

/** Version of Presage, from its package. */
export const VERSION: string = packageFile.version;
