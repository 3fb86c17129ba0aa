export { Address, compareAddresses, type Family, familyBits, ParseError } from './address.ts';
export { AddressRange } from './address-range.ts';
export { Cidr } from './cidr.ts';
export { Mac } from './mac.ts';
