/** Version of the program; set when it is bundled, "development" when run from the sources. */
export const version: string = process.env.OVENBIRD_VERSION ?? 'development';
