package dev.coldstart.integration;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.lang.foreign.AddressLayout;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Who may import whom, as ARCHITECTURE.md says. */
class ImportRulesTest {
    private static final JavaClasses OURS = new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages("dev.coldstart");

    /** Each module's package, and the others of ours that it may use. */
    private static final Map<String, List<String>> MAY_USE = Map.of(
            "proto", List.of(),
            "linux", List.of(),
            "snapshotter", List.of("proto", "linux"),
            "restore", List.of("proto", "linux"),
            "shim", List.of("proto", "linux", "restore"),
            "planner", List.of("proto", "linux"),
            "cli", List.of("proto"),
            "integration", List.of());

    static Stream<String> modules() {
        return MAY_USE.keySet().stream().sorted();
    }

    @ParameterizedTest
    @MethodSource("modules")
    void aModuleUsesOnlyWhatItMay(String module) {
        List<String> allowed = Stream.concat(Stream.of(module), MAY_USE.getOrDefault(module, List.of()).stream())
                .map(name -> "dev.coldstart." + name)
                .toList();
        noClasses()
                .that()
                .resideInAPackage("dev.coldstart." + module + "..")
                .should()
                .dependOnClassesThat(new DescribedPredicate<JavaClass>("are ours and outside of " + allowed) {
                    @Override
                    public boolean test(JavaClass other) {
                        String name = other.getPackageName();
                        return within("dev.coldstart", name)
                                && allowed.stream().noneMatch(prefix -> within(prefix, name));
                    }
                })
                .check(OURS);
    }

    @Test
    void everyClassBelongsToAModule() {
        String[] packages =
                modules().map(name -> "dev.coldstart." + name + "..").toArray(String[]::new);
        classes().should().resideInAnyPackage(packages).check(OURS);
        for (String module : MAY_USE.keySet()) {
            assertThat(OURS.stream().anyMatch(type -> within("dev.coldstart." + module, type.getPackageName())))
                    .as("there are classes in dev.coldstart.%s; the rules would say nothing otherwise", module)
                    .isTrue();
        }
    }

    /** Buffers of native memory, with their bounds, are used where kernel and files meet; calls and raw addresses are not. */
    @Test
    void onlyLinuxCallsNativeCode() {
        noClasses()
                .that()
                .resideOutsideOfPackage("dev.coldstart.linux..")
                .should()
                .dependOnClassesThat()
                .belongToAnyOf(Linker.class, SymbolLookup.class, FunctionDescriptor.class, AddressLayout.class)
                .orShould()
                .callMethod(MemorySegment.class, "ofAddress", long.class)
                .orShould()
                .callMethod(MemorySegment.class, "reinterpret", long.class)
                .check(OURS);
    }

    @Test
    void noPackageIsADrawerForEverything() {
        List<String> drawers = List.of("util", "utils", "common", "impl", "manager", "helper", "helpers", "misc");
        assertThat(OURS.stream()
                        .map(JavaClass::getPackageName)
                        .filter(name -> Arrays.stream(name.split("\\.", -1)).anyMatch(drawers::contains))
                        .distinct())
                .isEmpty();
    }

    private static boolean within(String prefix, String name) {
        return name.equals(prefix) || name.startsWith(prefix + ".");
    }
}
